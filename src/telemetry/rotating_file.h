// A log file that is set aside when it is large: "name.log" becomes "name-2006-01-02T15-04-05.000.log" (UTC) beside it.
// The names and rules are those of Go's lumberjack: backups that a lumberjack user left, compressed ones (.gz) too, are
// counted and removed with ours.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace mi::telemetry {

// Threads: confined; the caller locks.
// Errors: kUnavailable with the system's reason. A failed write leaves the object usable: the next write opens the file
//         again, and creates its directory again if that is gone.
class RotatingFile {
 public:
  // 0 is no limit.
  struct Limits {
    uint64_t max_bytes = 0;
    uint64_t max_age_days = 0;
    uint64_t max_backups = 0;
  };

  RotatingFile(std::string path, Limits limits) : path_(std::move(path)), limits_(limits) {}

  // Opens the file; creates it and the directories above it if they are missing. Optional: Write opens the file too.
  Status Open();
  // Appends one whole line. Sets the file aside first if the line would take it over max_bytes.
  Status Write(std::string_view line, int64_t now_ms);
  // The next Write removes the backups that are too old or too many by the new limits.
  void SetLimits(Limits limits) {
    limits_ = limits;
    prune_ = true;
  }
  const std::string& path() const { return path_; }

 private:
  bool IsStillAtItsPath() const;
  Status WriteBytes(std::string_view bytes);
  void Rotate(int64_t now_ms);
  void RemoveOldBackups(int64_t now_ms) const;

  const std::string path_;
  Limits limits_;
  FileDescriptor file_;
  struct stat opened_{};  // of file_, when it was opened
  uint64_t size_ = 0;
  bool prune_ = true;          // look through the backups before the next line; at the start too, as lumberjack does
  bool line_is_torn_ = false;  // the last line is incomplete: the disk became full in its middle
};

}  // namespace mi::telemetry
