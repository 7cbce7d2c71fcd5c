// The options of the log.
#pragma once

#include <cstdint>
#include <string>

namespace mi::telemetry {

struct LogOptions {
  std::string app;              // "app" of JSON lines; '' = none
  std::string level = "info";   // debug, info, warn, error
  std::string filename;         // '' = stderr
  std::string format = "text";  // text, json
  uint64_t max_size_mb = 200;   // MiB; this and the next two: 0 is no limit
  uint64_t max_age_days = 30;
  uint64_t max_backups = 7;
  bool also_stderr = false;  // app.mode dev: lines go to stderr as well as to the file

  bool operator==(const LogOptions&) const = default;
};

}  // namespace mi::telemetry
