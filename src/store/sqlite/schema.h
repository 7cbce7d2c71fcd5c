// The tables of the catalogue in SQLite, and the one place that makes or changes them (docs/formats/sql.md).
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "sqlite/database.h"
#include "store/identity_secrets.h"

namespace mi::store {

inline constexpr int64_t kSqliteSchemaVersion = 3;

// kInvalid, with what to do: the tables are not ours (the older service's, or another program's). Only reads.
Status RefuseForeignSqlite(sqlite::Database& database);

// Makes the tables in an empty database and migrates older ones to kSqliteSchemaVersion, all under the write lock, so
// that several processes may start at once and then agree on one secret.
//
// kInvalid, with what to do: a newer schema than this binary knows; tables that are not ours (the older service's, or
// another program's); a catalogue that was made with another identity.secret. Then nothing is changed.
Result<CatalogIdentity> EnsureSqliteSchema(sqlite::Database& database, const IdentitySecrets& secrets);

// The same checks without any change, for readers. kUnavailable if there are no tables yet.
Result<CatalogIdentity> CheckSqliteSchema(sqlite::Database& database, const std::string& configured_secret);

// `metric-index schema sqlite`: the SQL that makes an empty catalogue, for the sqlite3 shell on a new file.
std::string SqliteSchemaText(const IdentitySecrets& secrets);

}  // namespace mi::store
