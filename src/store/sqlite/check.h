// Looks for damage in a catalogue: what SQLite can find, and every row against what it belongs to.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace mi::store {

struct CheckOptions {
  std::string path;
  std::string configured_secret;  // identity.secret; '' if the catalogue keeps its own
};

struct CheckReport {
  static constexpr size_t kMaxShown = 20;

  uint64_t series = 0;  // rows of `metric` that can be read
  uint64_t intact = 0;  // of them, those that have the fingerprint of their content
  uint64_t faults = 0;
  std::vector<std::string> shown;  // the first faults, one line each

  bool ok() const { return faults == 0; }
  void Add(std::string fault);
};

// Checks:
//   - the file's structure and its indexes: SQLite's integrity_check
//   - each series against its fingerprint, which no other may have, the columns of metric_basic_label, metric_seen and
//   its rows in metric_label
//   - each row of a dictionary against its hash
// Works on the state at its beginning, in one read transaction, while services may use the file. Takes about 10 s and
// 32 MB of memory per million series.
// Errors: kUnavailable: cannot be read. kInvalid: not a catalogue of this secret, or of a newer version.
// Damage is no error but in the report.
Result<CheckReport> CheckSqliteCatalog(const CheckOptions& options);

}  // namespace mi::store
