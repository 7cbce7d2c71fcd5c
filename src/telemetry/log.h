// The log: one line per message, as text or JSON, to a rotated file or to stderr.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/format.h"
#include "base/mutex.h"
#include "base/result.h"
#include "telemetry/options.h"
#include "telemetry/rotating_file.h"

namespace mi::telemetry {

enum class Level { kDebug, kInfo, kWarn, kError };

// Where messages go. Tests of other rooms implement it.
//
// Threads: safe. Errors: none; logging never fails its caller.
class Logger {
 public:
  virtual ~Logger() = default;

  // Discards every message; for tests.
  static std::unique_ptr<Logger> Null();

  virtual bool Enabled(Level level) const = 0;
  virtual void Write(Level level, std::string_view message) = 0;

  template <typename... Args>
  void Debug(format_string<Args...> text, Args&&... args) {
    if (Enabled(Level::kDebug)) Write(Level::kDebug, mi::format(text, std::forward<Args>(args)...));
  }
  template <typename... Args>
  void Info(format_string<Args...> text, Args&&... args) {
    if (Enabled(Level::kInfo)) Write(Level::kInfo, mi::format(text, std::forward<Args>(args)...));
  }
  template <typename... Args>
  void Warn(format_string<Args...> text, Args&&... args) {
    if (Enabled(Level::kWarn)) Write(Level::kWarn, mi::format(text, std::forward<Args>(args)...));
  }
  template <typename... Args>
  void Error(format_string<Args...> text, Args&&... args) {
    if (Enabled(Level::kError)) Write(Level::kError, mi::format(text, std::forward<Args>(args)...));
  }
};

// The log of the process. Lines that the file does not take (disk full, directory gone) go to stderr instead; once the
// file takes lines again, it is told how many it missed.
//
// Threads: safe. One mutex orders the lines and is held while a line is written.
class Log final : public Logger {
 public:
  // kInvalid for an unknown level or format, kUnavailable when the file cannot be opened.
  static Result<std::unique_ptr<Log>> Create(const LogOptions& options);

  // Takes new options while other threads log. After an error, the options before stay in force.
  Status Reconfigure(const LogOptions& options) EXCLUDES(mutex_);

  bool Enabled(Level level) const override { return level >= level_; }
  // Synchronous: when it returns, the operating system has the line, so the process may end at once.
  void Write(Level level, std::string_view message) override EXCLUDES(mutex_);

 private:
  std::string FormatLine(int64_t time_ms, Level level, std::string_view message) const REQUIRES(mutex_);
  void WriteToFile(int64_t time_ms, std::string_view line) REQUIRES(mutex_);

  std::atomic<Level> level_ = Level::kInfo;
  Mutex mutex_;
  LogOptions options_ GUARDED_BY(mutex_);
  std::unique_ptr<RotatingFile> file_ GUARDED_BY(mutex_);  // null: stderr only
  uint64_t missed_lines_ GUARDED_BY(mutex_) = 0;           // lines that the file did not take
  std::string missed_reason_ GUARDED_BY(mutex_);
};

}  // namespace mi::telemetry
