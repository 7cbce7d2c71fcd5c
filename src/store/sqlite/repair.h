// Saves what is intact of a damaged catalogue into a new one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/identity_secrets.h"

namespace mi::store {

struct RepairOptions {
  std::string from;
  std::string to;           // replaced if it exists
  IdentitySecrets secrets;  // `if_new` only if the damaged catalogue does not tell its own
  int64_t now_ms = 0;       // for series whose times are lost
};

struct RepairReport {
  static constexpr size_t kMaxShown = 20;

  uint64_t kept = 0;               // series
  uint64_t damaged = 0;            // rows that do not have the fingerprint of their content
  uint64_t unreadable = 0;         // places where SQLite could not read on, each one or more rows
  uint64_t without_times = 0;      // series that are kept as if they were seen now
  uint64_t known = 0;              // series that the damaged catalogue had, by its other tables; 0: unknown
  std::vector<std::string> shown;  // the first losses, one line each

  void Lose(std::string what);
};

// The new catalogue has the series whose content is proved by their fingerprint, with their times, and the metadata
// that can be read. Its dictionaries and label rows are made anew from the contents. It has other ids and another uuid,
// and no stream positions: the stream is read from its beginning. Nothing readable at all gives an empty catalogue.
// Errors: those of reading and writing, except damage.
Result<RepairReport> RepairSqliteCatalog(const RepairOptions& options);

}  // namespace mi::store
