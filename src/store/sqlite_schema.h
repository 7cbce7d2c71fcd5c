// The tables of the catalogue in SQLite, and the one place that makes or changes them (docs/formats/sql.md).
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "sqlite/database.h"

namespace mi::store {

inline constexpr int64_t kSqliteSchemaVersion = 1;

// Makes the tables in an empty database, brings older ones up to kSqliteSchemaVersion, all under the write lock:
// several processes may start at once. Gives the catalogue's uuid.
//
// kInvalid, with what to do: a newer schema than this binary knows; tables that are not ours (the Go service's, or
// another program's database); a catalogue that was made with another identity.secret. Nothing is changed then.
Result<std::string> EnsureSqliteSchema(sqlite::Database& database, uint64_t secret_check);

// The same checks without changing anything, for readers; kUnavailable when there are no tables yet.
Result<std::string> CheckSqliteSchema(sqlite::Database& database, uint64_t secret_check);

// Everything that makes an empty catalogue, as statements for the sqlite3 shell.
std::string SqliteTablesSql(uint64_t secret_check);

}  // namespace mi::store
