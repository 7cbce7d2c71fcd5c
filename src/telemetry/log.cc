#include "telemetry/log.h"

#include <unistd.h>

#include <optional>

#include "base/clock.h"
#include "base/json.h"
#include "base/quote.h"
#include "base/time_text.h"

namespace mi::telemetry {
namespace {

constexpr uint64_t kMebibyte = uint64_t{1} << 20;

std::string_view ToString(Level level) {
  switch (level) {
    case Level::kDebug: return "debug";
    case Level::kInfo: return "info";
    case Level::kWarn: return "warn";
    case Level::kError: return "error";
  }
  return "error";
}

std::optional<Level> ParseLevel(std::string_view name) {
  for (const Level level : {Level::kDebug, Level::kInfo, Level::kWarn, Level::kError}) {
    if (name == ToString(level)) return level;
  }
  return std::nullopt;
}

RotatingFile::Limits LimitsOf(const LogOptions& options) {
  return {options.max_size_mb * kMebibyte, options.max_age_days, options.max_backups};
}

// One call for the whole line, so that lines of several processes do not mix.
void WriteToStderr(std::string_view line) {
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, line.data(), line.size());
}

class NullLogger final : public Logger {
 public:
  bool Enabled(Level) const override { return false; }
  void Write(Level, std::string_view) override {}
};

}  // namespace

std::unique_ptr<Logger> Logger::Null() { return std::make_unique<NullLogger>(); }

Result<std::unique_ptr<Log>> Log::Create(const LogOptions& options) {
  auto log = std::make_unique<Log>();
  TRY(log->Reconfigure(options));
  return log;
}

Status Log::Reconfigure(const LogOptions& options) {
  const std::optional<Level> level = ParseLevel(options.level);
  if (!level) return Fail(Errc::kInvalid, mi::format("log.level is '{}': debug, info, warn, error", options.level));
  if (options.format != "text" && options.format != "json") {
    return Fail(Errc::kInvalid, mi::format("log.format is '{}': text, json", options.format));
  }
  MutexLock lock(mutex_);
  if (options.filename.empty()) {
    file_ = nullptr;
  } else if (file_ == nullptr || file_->path() != options.filename) {
    auto file = std::make_unique<RotatingFile>(options.filename, LimitsOf(options));
    TRY(file->Open());
    file_ = std::move(file);
  } else {
    file_->SetLimits(LimitsOf(options));
  }
  options_ = options;
  level_ = *level;
  return {};
}

void Log::Write(Level level, std::string_view message) {
  MutexLock lock(mutex_);
  const int64_t time_ms = SystemClock().NowMs();
  const std::string line = FormatLine(time_ms, level, message);
  if (file_ != nullptr) WriteToFile(time_ms, line);
  if (file_ == nullptr || options_.also_stderr) WriteToStderr(line);
}

// 2006-01-02T15:04:05.000Z info  message   or   {"time":"…","level":"info","app":"…","msg":"message"}
std::string Log::FormatLine(int64_t time_ms, Level level, std::string_view message) const {
  const std::string time = FormatRfc3339(time_ms);
  std::string line;
  if (options_.format == "json") {
    line = mi::format(R"({{"time":"{}","level":"{}")", time, ToString(level));
    if (!options_.app.empty()) {
      line += R"(,"app":)";
      AppendJsonString(options_.app, line, JsonEscapes::kTerminalSafe);
    }
    line += R"(,"msg":)";
    AppendJsonString(message, line, JsonEscapes::kTerminalSafe);
    line += "}\n";
  } else {
    line = mi::format("{} {:<5} ", time, ToString(level));
    AppendPrintable(message, line);
    line += '\n';
  }
  return line;
}

// A line that the file does not take goes to stderr, and is counted. The first line that the file takes again is
// followed by one that names the number and the reason, so a reader of the file sees the gap.
void Log::WriteToFile(int64_t time_ms, std::string_view line) {
  const Status written = file_->Write(line, time_ms);
  if (!written) {
    ++missed_lines_;
    missed_reason_ = written.error().message();
    if (!options_.also_stderr) WriteToStderr(line);
  } else if (missed_lines_ > 0) {
    const std::string text = mi::format("{} log lines went to stderr instead: {}", missed_lines_, missed_reason_);
    if (file_->Write(FormatLine(time_ms, Level::kWarn, text), time_ms)) missed_lines_ = 0;
  }
}

}  // namespace mi::telemetry
