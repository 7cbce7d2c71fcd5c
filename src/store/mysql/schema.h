// The tables of the catalogue in MySQL and MariaDB, and the one place that makes or changes them (docs/formats/sql.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/identity_secrets.h"
#include "store/mysql/connection.h"

namespace mi::store {

inline constexpr uint64_t kMysqlSchemaVersion = 2;

// The checks of a process that uses the tables. kUnavailable if there are no tables yet, or older ones. kInvalid, with
// what to do: a newer schema, another identity.secret, the tables of the older service.
Result<CatalogIdentity> CheckMysqlSchema(MysqlConnection& connection, const std::string& configured_secret);

// The same checks before the tables are made: nothing if there are none yet, or older ones. Needs no right beyond
// SELECT.
Result<std::optional<CatalogIdentity>> FindMysqlSchema(MysqlConnection& connection,
                                                       const std::string& configured_secret);

// The same, and makes the tables if there are none, and migrates older ones, under a lock of the server. On a cluster
// the lock covers one node only; there the first row of schema_version decides.
// Requires: a connection of Purpose::kPrepare. Close it afterwards: that frees the lock.
Result<CatalogIdentity> MakeMysqlSchema(MysqlConnection& connection, const IdentitySecrets& secrets);

// Renames the tables of the older service to legacy_*, all or none, under the same lock; close the connection
// afterwards. Returns one line per table. kInvalid, and nothing is done: the tables are ours, or a legacy_ table of
// that name exists already.
Result<std::vector<std::string>> AdoptMysqlTables(MysqlConnection& connection);

// CREATE DATABASE.
std::string MysqlDatabaseSql(std::string_view db_name);

// `metric-index schema mysql`: the SQL that makes an empty catalogue or migrates an older one, for administrators who
// do not let a service create tables; for the mysql or mariadb client. The service then runs with fewer rights.
std::string MysqlSchemaText(std::string_view db_name, std::string_view user, const IdentitySecrets& secrets);

}  // namespace mi::store
