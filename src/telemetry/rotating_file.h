// A log file that is set aside when it is large: "name.log" becomes "name-2006-01-02T15-04-05.000.log" (UTC) beside it.
// The names and rules are those of Go's lumberjack, so files left by its users, compressed ones (.gz) as well, are
// counted and aged with ours.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mi::telemetry {

// Threads: confined; the caller locks.
// Errors: kUnavailable with the system's reason. A failed write leaves the object usable: the next one opens the file
//         again, and its directory where that is gone, so a disk that has room again is all that it needs.
class RotatingFile {
 public:
  // 0 is no limit.
  struct Limits {
    uint64_t max_bytes = 0;
    uint64_t max_age_days = 0;
    uint64_t max_backups = 0;
  };

  RotatingFile(std::string path, Limits limits);
  ~RotatingFile();
  RotatingFile(const RotatingFile&) = delete;
  RotatingFile& operator=(const RotatingFile&) = delete;

  // Opens or makes the file and the directories above it. Without it, the first write does.
  Status Open();
  // Appends a whole line; sets the file aside before if the line would take it over its limit.
  Status Write(std::string_view line, int64_t now_ms);
  // What is too old or too many now is removed with the next line.
  void SetLimits(Limits limits) {
    limits_ = limits;
    prune_ = true;
  }
  const std::string& path() const { return path_; }

 private:
  Status Reopen();
  bool StillThere() const;
  void Rotate(int64_t now_ms);
  void RemoveOldBackups(int64_t now_ms) const;
  void Close();

  const std::string path_;
  Limits limits_;
  int fd_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  bool regular_ = false;
  uint64_t size_ = 0;
  bool prune_ = true;  // backups are to be looked through: at the start too, as lumberjack does
  bool torn_ = false;  // the last line is incomplete: the disk was full in its middle
};

}  // namespace mi::telemetry
