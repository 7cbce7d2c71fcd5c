// The tables of the catalogue in SQLite, and the one place that makes or changes them (docs/formats/sql.md).
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "sqlite/database.h"

namespace mi::store {

inline constexpr int64_t kSqliteSchemaVersion = 1;

// Makes the tables in an empty database and migrates older ones to kSqliteSchemaVersion, all under the write lock, so
// that several processes may start at once. Returns the catalogue's uuid.
//
// kInvalid, with what to do: a newer schema than this binary knows; tables that are not ours (the older service's, or
// another program's); a catalogue that was made with another identity.secret. Then nothing is changed.
Result<std::string> EnsureSqliteSchema(sqlite::Database& database, uint64_t secret_check);

// The same checks without any change, for readers. kUnavailable if there are no tables yet.
Result<std::string> CheckSqliteSchema(sqlite::Database& database, uint64_t secret_check);

// `metric-index schema sqlite`: the SQL that makes an empty catalogue, for the sqlite3 shell on a new file.
std::string SqliteSchemaText(uint64_t secret_check);

}  // namespace mi::store
