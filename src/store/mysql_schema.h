// The tables of the catalogue in MySQL and MariaDB, and the one place that makes or changes them (docs/formats/sql.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/mysql_connection.h"

namespace mi::store {

inline constexpr uint64_t kMysqlSchemaVersion = 1;

// The checks of a process that uses the tables; gives the catalogue's uuid. kUnavailable when there are no tables yet;
// kInvalid, with what to do: a newer schema, another identity.secret, the older service's tables.
Result<std::string> CheckMysqlSchema(MysqlConnection& connection, uint64_t secret_check);

// The same checks before the tables are made: false where there are none yet, or older ones. Needs no right beyond
// SELECT.
Result<bool> IsMysqlSchemaCurrent(MysqlConnection& connection, uint64_t secret_check);

// The same; and makes the tables where there are none, and migrates older ones, under a lock of the server. Requires: a
// connection of Purpose::kPrepare.
Status MakeMysqlSchema(MysqlConnection& connection, uint64_t secret_check);

// Makes the database that mysql.db_name names. Requires: a connection without a database.
Status CreateMysqlDatabase(MysqlConnection& connection);

// Renames the older service's tables to legacy_*, all or none, under the same lock; gives what was done, a line a
// table. kInvalid, and nothing is done: the tables are ours, or there is a legacy_ table of that name already.
Result<std::vector<std::string>> AdoptMysqlTables(MysqlConnection& connection);

// Everything that makes an empty catalogue, as statements that end with ";".
std::string MysqlTablesSql(uint64_t secret_check);
// CREATE DATABASE, and the name quoted as an identifier.
std::string MysqlDatabaseSql(std::string_view db_name);
std::string QuoteMysqlName(std::string_view name);

}  // namespace mi::store
