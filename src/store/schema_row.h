// The row of schema_version, and the checks of it that are the same in every database.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/format.h"
#include "base/result.h"

namespace mi::store {

struct SchemaRow {
  uint64_t version = 0;
  std::string uuid;
  std::string secret_check;  // 16 hex digits
};

inline std::string FormatSecretCheck(uint64_t secret_check) { return format("{:016x}", secret_check); }

// kInvalid, with what to do: a schema newer than `newest`, or a catalogue made with another identity.secret. `where` is
// the database for messages; `elsewhere` is what a new catalogue would need: "database (mysql.db_name)".
inline Status CheckSchemaRow(const SchemaRow& row, uint64_t newest, uint64_t secret_check, std::string_view where,
                             std::string_view elsewhere) {
  if (row.version > newest) {
    return Fail(Errc::kInvalid,
                format("{} has schema version {}, this binary knows up to {}: run the newer metric-index that made it, "
                       "or restore the backup from before",
                       where, row.version, newest));
  }
  const std::string ours = FormatSecretCheck(secret_check);
  if (row.secret_check == ours) return {};
  return Fail(Errc::kInvalid,
              format("{} was made with another identity.secret (its check is {}, ours {}): every fingerprint in it "
                     "would differ. Put the old secret back, or begin a new catalogue in another {}",
                     where, row.secret_check, ours, elsewhere));
}

}  // namespace mi::store
