// Checks that everything that was acknowledged is in the catalogue.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/client.h"

namespace mi::loadgen {

struct VerifyOptions {
  net::Url base;       // of the service; its path is put in front of /api/v1/series
  std::string tenant;  // X-Scope-OrgID; '' = none
  std::string acknowledged_file;
  std::chrono::milliseconds patience{60'000};  // for the server to index what it has acknowledged
};

struct Verdict {
  uint64_t acknowledged = 0;
  uint64_t missing = 0;
  std::vector<std::string> first_missing;  // at most 10
};

// Waits until /metrics reports that the index has caught up (if it reports that at all). Then asks for the series of
// each metric name in the file, repeatedly, until none is missing or the patience ends. Errors: kUnavailable (the file,
// the server), kInvalid (a line or an answer that cannot be read).
Result<Verdict> Verify(const VerifyOptions& options);

}  // namespace mi::loadgen
