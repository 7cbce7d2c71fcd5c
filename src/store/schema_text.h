// The SQL that makes an empty catalogue, for administrators who do not let a service make tables:
// `metric-index schema mysql|sqlite`. Running it and starting the service with less rights is as good as letting it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mi::store {

// As schema_version holds it: 16 hex digits.
std::string FormatSecretCheck(uint64_t secret_check);

// For the mysql or mariadb client: database, tables, views, the first row. `secret_check`: model::SecretCheck(
// identity.secret); the service must be started with the same secret.
std::string MysqlSchemaText(std::string_view db_name, std::string_view user, uint64_t secret_check);

// For the sqlite3 shell, on a new file.
std::string SqliteSchemaText(uint64_t secret_check);

}  // namespace mi::store
