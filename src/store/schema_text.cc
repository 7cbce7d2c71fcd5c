#include "store/schema_text.h"

#include <algorithm>

#include "base/format.h"
#include "store/mysql_schema.h"
#include "store/sqlite_schema.h"

namespace mi::store {

std::string FormatSecretCheck(uint64_t secret_check) { return format("{:016x}", secret_check); }

std::string MysqlSchemaText(std::string_view db_name, std::string_view user, uint64_t secret_check) {
  // A comment must stay one line, whatever the configuration holds.
  std::string name(user);
  std::ranges::replace_if(name, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\''; }, '?');
  return format(
      "-- metric-index: schema version {} of the catalogue. Run it as an administrator of the server; the service "
      "itself then needs no more than:\n"
      "--   GRANT SELECT, INSERT, UPDATE ON {}.* TO '{}'@'<host>';\n"
      "{};\nUSE {};\n{}",
      kMysqlSchemaVersion, QuoteMysqlName(db_name), name, MysqlDatabaseSql(db_name), QuoteMysqlName(db_name),
      MysqlTablesSql(secret_check));
}

std::string SqliteSchemaText(uint64_t secret_check) {
  return format(
      "-- metric-index: schema version {} of the catalogue. sqlite3 <app.data_dir>/catalog.db < this file\n{}",
      kSqliteSchemaVersion, SqliteTablesSql(secret_check));
}

}  // namespace mi::store
