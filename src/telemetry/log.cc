#include "telemetry/log.h"

#include <spdlog/formatter.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <mutex>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "telemetry/printable.h"
#include "telemetry/rotating_file.h"

namespace mi::telemetry {
namespace {

using spdlog::details::log_msg;

constexpr uint64_t kMegabyte = uint64_t{1} << 20;

int64_t UnixMs(const log_msg& message) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(message.time.time_since_epoch()).count();
}

std::string_view LevelName(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug: return "debug";
    case spdlog::level::info: return "info";
    case spdlog::level::warn: return "warn";
    case spdlog::level::err:
    case spdlog::level::critical:
    case spdlog::level::off:
    case spdlog::level::n_levels: return "error";
  }
  return "error";
}

spdlog::level::level_enum ToSpdlog(Level level) {
  switch (level) {
    case Level::kDebug: return spdlog::level::debug;
    case Level::kInfo: return spdlog::level::info;
    case Level::kWarn: return spdlog::level::warn;
    case Level::kError: return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::optional<Level> ParseLevel(std::string_view name) {
  if (name == "debug") return Level::kDebug;
  if (name == "info") return Level::kInfo;
  if (name == "warn") return Level::kWarn;
  if (name == "error") return Level::kError;
  return std::nullopt;
}

enum class LineFormat { kText, kJson };

// One message, one line:  2006-01-02T15:04:05.000Z info  text   or   {"time":…,"level":…,"app":…,"msg":…}
class LineFormatter final : public spdlog::formatter {
 public:
  LineFormatter(LineFormat format, std::string_view app) : format_(format) {
    if (app.empty()) return;
    app_ = ",\"app\":\"";
    AppendJsonEscaped(app, app_);
    app_ += '"';
  }

  void format(const log_msg& message, spdlog::memory_buf_t& out) override {
    const std::string_view text(message.payload.data(), message.payload.size());
    std::string line;
    line.reserve(text.size() + app_.size() + 64);
    if (format_ == LineFormat::kJson) {
      line += mi::format(R"({{"time":"{}","level":"{}"{},"msg":")", Time(message), LevelName(message.level), app_);
      AppendJsonEscaped(text, line);
      line += "\"}\n";
    } else {
      line += mi::format("{} {:<5} ", Time(message), LevelName(message.level));
      AppendPrintable(text, line);
      line += '\n';
    }
    out.append(line.data(), line.data() + line.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<LineFormatter>(*this); }

 private:
  static std::string Time(const log_msg& message) {
    const int64_t ms = UnixMs(message);
    const auto seconds = static_cast<time_t>(ms / 1000);
    struct tm utc{};
    gmtime_r(&seconds, &utc);
    return mi::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                      utc.tm_hour, utc.tm_min, utc.tm_sec, ms % 1000);
  }

  LineFormat format_;
  std::string app_;  // as it stands in a JSON line
};

// Lines that the file does not take go to stderr instead; once it takes them again, it is told how many it missed.
class FileSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  FileSink(const std::string& path, RotatingFile::Limits limits) : file_(path, limits) {}

  Status Open() {
    const std::lock_guard lock(mutex_);
    return file_.Open();
  }
  void SetLimits(RotatingFile::Limits limits) {
    const std::lock_guard lock(mutex_);
    file_.SetLimits(limits);
  }

 protected:
  void sink_it_(const log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    const auto written = file_.Write({line.data(), line.size()}, UnixMs(message));
    if (!written) {
      ++missed_;
      reason_ = written.error().message();
      [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, line.data(), line.size());
    } else if (missed_ > 0) {
      TellWhatWasMissed(message);
    }
  }

  void flush_() override {}  // each line is written at once

 private:
  void TellWhatWasMissed(const log_msg& message) {
    const std::string text = mi::format("{} log lines went to stderr instead: {}", missed_, reason_);
    spdlog::memory_buf_t line;
    formatter_->format(log_msg(message.time, {}, {}, spdlog::level::warn, text), line);
    if (file_.Write({line.data(), line.size()}, UnixMs(message))) missed_ = 0;
  }

  RotatingFile file_;
  uint64_t missed_ = 0;
  std::string reason_;
};

RotatingFile::Limits LimitsOf(const LogOptions& options) {
  return {options.max_size_mb * kMegabyte, options.max_age_days, options.max_backups};
}

// A message is written to the target that stood when it came; the target is replaced as a whole. The sink of a file
// that stays is kept, so that never two write (and rotate) one file.
class SpdlogLogger final : public Logger {
 public:
  Status Reconfigure(const LogOptions& options) override {
    const auto level = ParseLevel(options.level);
    if (!level) return Fail(Errc::kInvalid, mi::format("log.level is '{}': debug, info, warn, error", options.level));
    if (options.format != "text" && options.format != "json") {
      return Fail(Errc::kInvalid, mi::format("log.format is '{}': text, json", options.format));
    }
    MutexLock reconfigure(reconfigure_mutex_);
    auto file = file_;
    if (options.filename.empty()) {
      file = nullptr;
    } else if (file == nullptr || options.filename != filename_) {
      file = std::make_shared<FileSink>(options.filename, LimitsOf(options));
      if (auto opened = file->Open(); !opened) return opened;
    }
    auto target = MakeTarget(options, file);
    file_ = std::move(file);
    filename_ = options.filename;
    MutexLock lock(mutex_);
    target_ = std::move(target);
    level_ = *level;
    return {};
  }

  bool Enabled(Level level) const override { return level >= level_; }

  void Write(Level level, std::string_view message) override {
    try {
      Target()->log(ToSpdlog(level), spdlog::string_view_t(message.data(), message.size()));
    } catch (...) {  // NOLINT(bugprone-empty-catch): out of memory: the line is lost, its caller is not
    }
  }

  void Flush() override { Target()->flush(); }

 private:
  std::shared_ptr<spdlog::logger> Target() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return target_;
  }

  static std::shared_ptr<spdlog::logger> MakeTarget(const LogOptions& options, const std::shared_ptr<FileSink>& file) {
    std::vector<spdlog::sink_ptr> sinks;
    if (file != nullptr) {
      file->SetLimits(LimitsOf(options));
      sinks.push_back(file);
    }
    if (file == nullptr || options.also_console) sinks.push_back(std::make_shared<spdlog::sinks::stderr_sink_mt>());
    auto target = std::make_shared<spdlog::logger>("", sinks.begin(), sinks.end());
    const auto format = options.format == "json" ? LineFormat::kJson : LineFormat::kText;
    target->set_formatter(std::make_unique<LineFormatter>(format, options.app));
    target->set_level(spdlog::level::trace);  // Enabled() decides
    return target;
  }

  Mutex reconfigure_mutex_;
  std::shared_ptr<FileSink> file_ GUARDED_BY(reconfigure_mutex_);
  std::string filename_ GUARDED_BY(reconfigure_mutex_);

  mutable Mutex mutex_;
  std::shared_ptr<spdlog::logger> target_ GUARDED_BY(mutex_);
  std::atomic<Level> level_ = Level::kInfo;
};

class NullLogger final : public Logger {
 public:
  Status Reconfigure(const LogOptions&) override { return {}; }
  bool Enabled(Level) const override { return false; }
  void Write(Level, std::string_view) override {}
  void Flush() override {}
};

}  // namespace

Result<std::unique_ptr<Logger>> Logger::Create(const LogOptions& options) {
  auto logger = std::make_unique<SpdlogLogger>();
  if (auto configured = logger->Reconfigure(options); !configured) return Fail(configured.error());
  return logger;
}

std::unique_ptr<Logger> Logger::Null() { return std::make_unique<NullLogger>(); }

}  // namespace mi::telemetry
