#include "store/mysql_schema.h"

#include <algorithm>
#include <array>

#include "base/format.h"
#include "store/dictionary_hash.h"
#include "store/schema_text.h"

namespace mi::store {
namespace {

constexpr std::string_view kVersionTable =
    R"sql(CREATE TABLE IF NOT EXISTS schema_version (
  version INT UNSIGNED NOT NULL,
  catalog_uuid CHAR(36) NOT NULL,
  secret_check CHAR(16) NOT NULL           -- hex digits
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql";

// What leads from version 0, an empty database with its row in schema_version, to 1. DDL commits by itself, so each
// statement may find its work done by a start that was cut short. Never edit one that was released: add the next.
constexpr std::string_view kToVersion1[] = {
    R"sql(CREATE TABLE IF NOT EXISTS metric_basic_label (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, -- from metric_next_id
  tenant VARCHAR(150) NOT NULL,
  env MEDIUMTEXT NOT NULL,
  service MEDIUMTEXT NOT NULL,
  __name__ MEDIUMTEXT NOT NULL,
  hash BINARY(16) NOT NULL,
  UNIQUE KEY hash (hash)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS metric (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, -- from metric_next_id
  metric_basic_label_id BIGINT UNSIGNED NOT NULL,
  fingerprint BINARY(16) NOT NULL,
  metric MEDIUMTEXT NOT NULL,
  UNIQUE KEY fingerprint (fingerprint)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS metric_seen (
  metric_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  first_seen BIGINT NOT NULL,
  last_seen BIGINT NOT NULL,
  changed BIGINT UNSIGNED NOT NULL,        -- ms, by the server's clock, when this row was written
  KEY changed (changed)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS metric_label_name (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, -- from metric_next_id
  name MEDIUMTEXT NOT NULL,
  hash BINARY(16) NOT NULL,
  UNIQUE KEY hash (hash)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS metric_label_value (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, -- from metric_next_id
  value MEDIUMTEXT NOT NULL,
  hash BINARY(16) NOT NULL,
  UNIQUE KEY hash (hash)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS metric_label (
  metric_label_name_id BIGINT UNSIGNED NOT NULL,
  metric_label_value_id BIGINT UNSIGNED NOT NULL,
  metric_id BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (metric_label_name_id, metric_label_value_id, metric_id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS metric_metadata (
  tenant VARCHAR(150) NOT NULL,
  metric_family MEDIUMTEXT NOT NULL,
  type MEDIUMTEXT NOT NULL,
  help MEDIUMTEXT NOT NULL,
  unit MEDIUMTEXT NOT NULL,
  last_seen BIGINT NOT NULL,
  hash BINARY(16) NOT NULL PRIMARY KEY
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS stream_position (
  stream VARCHAR(255) NOT NULL,
  partition_id INT NOT NULL,
  next_offset BIGINT NOT NULL,
  hash BINARY(16) NOT NULL PRIMARY KEY
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(CREATE TABLE IF NOT EXISTS metric_next_id (
  name VARCHAR(64) NOT NULL PRIMARY KEY,   -- of the table
  next_id BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin)sql",
    R"sql(INSERT INTO metric_next_id (name, next_id) VALUES
  ('metric', 1), ('metric_basic_label', 1), ('metric_label_name', 1), ('metric_label_value', 1)
ON DUPLICATE KEY UPDATE next_id = next_id)sql",
    R"sql(CREATE OR REPLACE SQL SECURITY INVOKER VIEW v_series AS
SELECT m.id AS id, b.tenant AS tenant, b.env AS env, b.service AS service, b.__name__ AS name, m.metric AS content,
       LOWER(HEX(m.fingerprint)) AS fingerprint, s.first_seen AS first_seen, s.last_seen AS last_seen,
       DATE_FORMAT(TIMESTAMPADD(SECOND, s.first_seen DIV 1000, '1970-01-01'), '%Y-%m-%dT%H:%i:%sZ') AS first_seen_utc,
       DATE_FORMAT(TIMESTAMPADD(SECOND, s.last_seen DIV 1000, '1970-01-01'), '%Y-%m-%dT%H:%i:%sZ') AS last_seen_utc
FROM metric m
JOIN metric_basic_label b ON b.id = m.metric_basic_label_id
JOIN metric_seen s ON s.metric_id = m.id)sql",
    R"sql(CREATE OR REPLACE SQL SECURITY INVOKER VIEW v_series_label AS
SELECT l.metric_id AS metric_id, n.name AS name, v.value AS value
FROM metric_label l
JOIN metric_label_name n ON n.id = l.metric_label_name_id
JOIN metric_label_value v ON v.id = l.metric_label_value_id)sql"};

constexpr std::string_view kMysqlTables[] = {"metric",          "metric_basic_label", "metric_seen",
                                             "metric_label",    "metric_label_name",  "metric_label_value",
                                             "metric_metadata", "metric_next_id",     "stream_position"};

// What stands in the database.
struct Found {
  bool version_table = false;     // and it is ours
  std::vector<std::string> ours;  // tables with names of ours, without schema_version
  std::vector<std::string> all;
  bool has_row = false;
  uint64_t version = 0;
  std::string uuid;
  std::string secret_check;
};

std::string Where(const MysqlConnection& connection) {
  return format("database \"{}\" at {}", connection.options().db_name, AddressOf(connection.options()));
}

Result<std::vector<std::string>> TextColumn(MysqlConnection& connection, std::string_view sql) {
  Result<MysqlStatement*> select = connection.Prepare(sql);
  if (!select) return Fail(select.error());
  if (Status run = (*select)->Run(); !run) return Fail(run.error());
  std::vector<std::string> values;
  for (;;) {
    const Result<bool> row = (*select)->Fetch();
    if (!row) return Fail(row.error());
    if (!*row) return values;
    values.emplace_back((*select)->Text(0));
  }
}

// The tables of somebody else that have names of ours.
bool IsLegacy(const Found& found) { return !found.version_table && !found.ours.empty(); }

Result<Found> Look(MysqlConnection& connection) {
  Found found;
  Result<std::vector<std::string>> tables = TextColumn(
      connection, "SELECT CAST(table_name AS CHAR) FROM information_schema.tables WHERE table_schema = DATABASE()");
  if (!tables) return Fail(tables.error());
  found.all = *std::move(tables);
  for (const std::string& table : found.all) {
    if (std::ranges::find(kMysqlTables, table) != std::end(kMysqlTables)) found.ours.push_back(table);
  }
  // Another program may have a schema_version, too.
  const Result<std::vector<std::string>> column =
      TextColumn(connection,
                 "SELECT CAST(column_name AS CHAR) FROM information_schema.columns WHERE table_schema = DATABASE() AND "
                 "table_name = 'schema_version' AND column_name = 'catalog_uuid'");
  if (!column) return Fail(column.error());
  found.version_table = !column->empty();
  if (!found.version_table) return found;

  Result<MysqlStatement*> select = connection.Prepare("SELECT version, catalog_uuid, secret_check FROM schema_version");
  if (!select) return Fail(select.error());
  if (Status run = (*select)->Run(); !run) return Fail(run.error());
  const Result<bool> row = (*select)->Fetch();
  if (!row) return Fail(row.error());
  found.has_row = *row;
  if (*row) {
    found.version = (*select)->Number(0);
    found.uuid = (*select)->Text(1);
    found.secret_check = (*select)->Text(2);
  }
  return found;
}

Status Check(const MysqlConnection& connection, const Found& found, uint64_t secret_check) {
  if (IsLegacy(found)) {
    std::string renames;
    for (const std::string& table : found.ours) {
      renames += format("{}`{}` TO `legacy_{}`", renames.empty() ? "RENAME TABLE " : ", ", table, table);
    }
    return Fail(Errc::kInvalid,
                format("{} holds tables of the older service (metric and others, without our schema_version), and they "
                       "are left untouched. Stop its consumers (its producers may go on), run `metric-index schema "
                       "adopt`, which is {}; and start again: a replay of the topic fills new tables. Or name another "
                       "database (mysql.db_name)",
                       Where(connection), renames));
  }
  if (!found.version_table) return {};
  if (!found.has_row) {
    if (found.ours.empty()) return {};
    return Fail(Errc::kCorrupt, format("{}: schema_version has no row: restore a backup", Where(connection)));
  }
  if (found.version > kMysqlSchemaVersion) {
    return Fail(Errc::kInvalid,
                format("{} has schema version {}, this binary knows up to {}: run the newer metric-index "
                       "that made it, or restore the backup from before",
                       Where(connection), found.version, kMysqlSchemaVersion));
  }
  if (found.secret_check != FormatSecretCheck(secret_check)) {
    return Fail(Errc::kInvalid, format("{} was made with another identity.secret (its check is {}, ours {}): every "
                                       "fingerprint in it would differ. Put the old secret back, or begin a new "
                                       "catalogue in another database (mysql.db_name)",
                                       Where(connection), found.secret_check, FormatSecretCheck(secret_check)));
  }
  return {};
}

// A lock of the whole server, by the database's name; the connection's end frees it, too.
class SchemaLock {
 public:
  static Result<SchemaLock> Take(MysqlConnection& connection) {
    constexpr int64_t kPatienceSeconds = kMysqlSchemaLockPatience.count();
    SchemaLock lock(&connection, format("metric-index/{}", NameHash(connection.options().db_name)));
    Result<MysqlStatement*> take = connection.Prepare("SELECT COALESCE(GET_LOCK(?, ?), 0)");
    if (!take) return Fail(take.error());
    if (Status run = (*take)->BindText(lock.name_).Bind(kPatienceSeconds).Run(); !run) {
      return Fail(run.error().Within("GET_LOCK"));
    }
    const Result<bool> row = (*take)->Fetch();
    if (!row) return Fail(row.error());
    if (*row && (*take)->Number(0) == 1) {
      lock.taken_ = true;
      return lock;
    }
    return Fail(Errc::kUnavailable, format("{}: another process makes the tables since {} s (lock {})",
                                           Where(connection), kPatienceSeconds, lock.name_));
  }
  SchemaLock(SchemaLock&& other) noexcept
      : connection_(other.connection_), name_(std::move(other.name_)), taken_(std::exchange(other.taken_, false)) {}
  SchemaLock& operator=(SchemaLock&&) = delete;
  ~SchemaLock() {
    if (!taken_ || connection_->broken()) return;
    if (Result<MysqlStatement*> give = connection_->Prepare("DO RELEASE_LOCK(?)"); give) {
      (void)(*give)->BindText(name_).Run();
    }
  }

 private:
  SchemaLock(MysqlConnection* connection, std::string name) : connection_(connection), name_(std::move(name)) {}
  // The names of locks are short.
  static std::string NameHash(std::string_view db_name) {
    std::string hex;
    for (const char byte : DictionaryHash(db_name)) hex += format("{:02x}", static_cast<unsigned char>(byte));
    return hex;
  }

  MysqlConnection* connection_;
  std::string name_;
  bool taken_ = false;
};

Status Migrate(MysqlConnection& connection, uint64_t from) {
  if (from >= 1) return {};
  for (const std::string_view sql : kToVersion1) {
    if (Status done = connection.Exec(sql); !done) return Fail(done.error().Within("schema migration 0 to 1"));
  }
  return {};
}

Status WriteFirstRow(MysqlConnection& connection, uint64_t secret_check) {
  Result<MysqlStatement*> insert =
      connection.Prepare("INSERT INTO schema_version (version, catalog_uuid, secret_check) VALUES (0, UUID(), ?)");
  if (!insert) return Fail(insert.error());
  const std::string check = FormatSecretCheck(secret_check);
  return (*insert)->BindText(check).Run();
}

bool IsCurrent(const Found& found) { return found.has_row && found.version == kMysqlSchemaVersion; }

}  // namespace

std::string QuoteMysqlName(std::string_view name) {
  std::string quoted = "`";
  for (const char c : name) quoted += c == '`' ? std::string("``") : std::string(1, c);
  return quoted + "`";
}

std::string MysqlDatabaseSql(std::string_view db_name) {
  return format("CREATE DATABASE IF NOT EXISTS {} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", QuoteMysqlName(db_name));
}

std::string MysqlTablesSql(uint64_t secret_check) {
  std::string sql = format("{};\n", kVersionTable);
  for (const std::string_view statement : kToVersion1) sql += format("{};\n", statement);
  // Last: it says that all the rest is there.
  sql += format(
      "INSERT INTO schema_version (version, catalog_uuid, secret_check)\nSELECT {}, UUID(), '{}' FROM DUAL "
      "WHERE NOT EXISTS (SELECT * FROM schema_version);\n",
      kMysqlSchemaVersion, FormatSecretCheck(secret_check));
  return sql;
}

Status CreateMysqlDatabase(MysqlConnection& connection) {
  return connection.Exec(MysqlDatabaseSql(connection.options().db_name));
}

Result<std::string> CheckMysqlSchema(MysqlConnection& connection, uint64_t secret_check) {
  Result<Found> found = Look(connection);
  if (!found) return Fail(found.error());
  if (Status checked = Check(connection, *found, secret_check); !checked) return Fail(checked.error());
  if (IsCurrent(*found)) return found->uuid;
  return Fail(Errc::kUnavailable, format("{} has no tables yet: the role consumer or all makes them when it starts, or "
                                         "run what `metric-index schema mysql` prints",
                                         Where(connection)));
}

Result<bool> IsMysqlSchemaCurrent(MysqlConnection& connection, uint64_t secret_check) {
  const Result<Found> found = Look(connection);
  if (!found) return Fail(found.error());
  if (Status checked = Check(connection, *found, secret_check); !checked) return Fail(checked.error());
  return IsCurrent(*found);
}

Status MakeMysqlSchema(MysqlConnection& connection, uint64_t secret_check) {
  const Result<SchemaLock> lock = SchemaLock::Take(connection);
  if (!lock) return Fail(lock.error());
  const Result<Found> found = Look(connection);
  if (!found) return Fail(found.error());
  if (Status checked = Check(connection, *found, secret_check); !checked) return checked;
  if (IsCurrent(*found)) return {};
  // The row of version 0 comes before the tables: a start that is cut short is not taken for the older service.
  if (Status made = connection.Exec(kVersionTable); !made) return made;
  if (!found->has_row) {
    if (Status written = WriteFirstRow(connection, secret_check); !written) return written;
  }
  if (Status migrated = Migrate(connection, found->version); !migrated) return migrated;
  Result<MysqlStatement*> finish = connection.Prepare("UPDATE schema_version SET version = ?");
  if (!finish) return Fail(finish.error());
  return (*finish)->Bind(kMysqlSchemaVersion).Run();
}

Result<std::vector<std::string>> AdoptMysqlTables(MysqlConnection& connection) {
  const Result<SchemaLock> lock = SchemaLock::Take(connection);
  if (!lock) return Fail(lock.error());
  const Result<Found> found = Look(connection);
  if (!found) return Fail(found.error());
  if (found->version_table) {
    return Fail(Errc::kInvalid, format("{} holds metric-index' own tables: nothing to adopt", Where(connection)));
  }
  std::vector<std::string> names = found->ours;
  if (std::ranges::find(found->all, "schema_version") != found->all.end()) names.emplace_back("schema_version");
  if (found->ours.empty()) return std::vector<std::string>();
  std::vector<std::string> done;
  std::string sql;
  for (const std::string& name : names) {
    if (std::ranges::find(found->all, "legacy_" + name) != found->all.end()) {
      return Fail(Errc::kInvalid,
                  format("{} holds legacy_{} already, from an earlier adoption: rename or drop it first",
                         Where(connection), name));
    }
    const std::string rename = format("{} TO {}", QuoteMysqlName(name), QuoteMysqlName("legacy_" + name));
    sql += format("{}{}", sql.empty() ? "RENAME TABLE " : ", ", rename);
    done.push_back(rename);
  }
  if (Status renamed = connection.Exec(sql); !renamed) return Fail(renamed.error());
  return done;
}

}  // namespace mi::store
