// The log: levels, a console or a rotated file, text or JSON, with the library out of sight.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/format.h"
#include "base/result.h"

namespace mi::telemetry {

enum class Level { kDebug, kInfo, kWarn, kError };

struct LogOptions {
  std::string app;              // "app" of JSON lines; '' = none
  std::string level = "info";   // debug, info, warn, error
  std::string filename;         // '' = console (stderr)
  std::string format = "text";  // text, json
  uint64_t max_size_mb = 200;
  uint64_t max_age_days = 30;
  uint64_t max_backups = 7;
  bool also_console = false;  // app.mode dev
};

// Threads: safe. A log that cannot be written never fails its caller.
class Logger {
 public:
  virtual ~Logger() = default;

  // kUnavailable when the file cannot be opened.
  static Result<std::unique_ptr<Logger>> Create(const LogOptions& options);
  // Writes nothing; for tests.
  static std::unique_ptr<Logger> Null();

  // Takes new options while others log. A file that cannot be opened changes nothing.
  virtual Status Reconfigure(const LogOptions& options) = 0;
  virtual bool Enabled(Level level) const = 0;
  virtual void Write(Level level, std::string_view message) = 0;
  virtual void Flush() = 0;

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

}  // namespace mi::telemetry
