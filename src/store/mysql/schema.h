// The tables of the catalogue in MySQL and MariaDB, and the one place that makes or changes them (docs/formats/sql.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/mysql/connection.h"

namespace mi::store {

inline constexpr uint64_t kMysqlSchemaVersion = 1;

// The checks of a process that uses the tables; returns the catalogue's uuid. kUnavailable if there are no tables yet.
// kInvalid, with what to do: a newer schema, another identity.secret, the tables of the older service.
Result<std::string> CheckMysqlSchema(MysqlConnection& connection, uint64_t secret_check);

// The same checks before the tables are made: false if there are none yet, or older ones. Needs no right beyond SELECT.
Result<bool> IsMysqlSchemaCurrent(MysqlConnection& connection, uint64_t secret_check);

// The same, and makes the tables if there are none, and migrates older ones, under a lock of the server.
// Requires: a connection of Purpose::kPrepare. Close it afterwards: that frees the lock.
Status MakeMysqlSchema(MysqlConnection& connection, uint64_t secret_check);

// Renames the tables of the older service to legacy_*, all or none, under the same lock; close the connection
// afterwards. Returns one line per table. kInvalid, and nothing is done: the tables are ours, or a legacy_ table of
// that name exists already.
Result<std::vector<std::string>> AdoptMysqlTables(MysqlConnection& connection);

// CREATE DATABASE.
std::string MysqlDatabaseSql(std::string_view db_name);

// `metric-index schema mysql`: the SQL that makes an empty catalogue, for administrators who do not let a service
// create tables; for the mysql or mariadb client. The service then runs with fewer rights. `secret_check`:
// model::SecretCheck(identity.secret) of that service.
std::string MysqlSchemaText(std::string_view db_name, std::string_view user, uint64_t secret_check);

}  // namespace mi::store
