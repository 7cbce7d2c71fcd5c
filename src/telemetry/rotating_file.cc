#include "telemetry/rotating_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <functional>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "base/format.h"

namespace mi::telemetry {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kDayMs = 86'400'000;

std::string BackupName(const fs::path& path, int64_t at_ms) {
  const auto seconds = static_cast<time_t>(at_ms / 1000);
  struct tm utc{};
  gmtime_r(&seconds, &utc);
  return mi::format("{}-{:04}-{:02}-{:02}T{:02}-{:02}-{:02}.{:03}{}", path.stem().string(), utc.tm_year + 1900,
                    utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, at_ms % 1000,
                    path.extension().string());
}

// When `name` was set aside, if it is a backup of `path`: the name that the parsed time gives must be the very same.
std::optional<int64_t> BackupTime(const fs::path& path, std::string name) {
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  const std::string prefix = path.stem().string() + "-";
  if (!name.starts_with(prefix)) return std::nullopt;
  struct tm utc{};
  int ms = 0;
  if (std::sscanf(name.c_str() + prefix.size(), "%4d-%2d-%2dT%2d-%2d-%2d.%3d", &utc.tm_year, &utc.tm_mon, &utc.tm_mday,
                  &utc.tm_hour, &utc.tm_min, &utc.tm_sec, &ms) != 7) {
    return std::nullopt;
  }
  utc.tm_year -= 1900;
  utc.tm_mon -= 1;
  const int64_t at_ms = static_cast<int64_t>(timegm(&utc)) * 1000 + ms;
  if (at_ms < 0 || BackupName(path, at_ms) != name) return std::nullopt;
  return at_ms;
}

std::unexpected<Error> Unavailable(const std::string& path, int error) {
  return Fail(Errc::kUnavailable,
              mi::format("cannot write the log {} (log.filename): {}", path, std::generic_category().message(error)));
}

}  // namespace

RotatingFile::RotatingFile(std::string path, Limits limits) : path_(std::move(path)), limits_(limits) {}

RotatingFile::~RotatingFile() { Close(); }

void RotatingFile::Close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Status RotatingFile::Open() { return fd_ >= 0 ? Status() : Reopen(); }

Status RotatingFile::Reopen() {
  Close();
  std::error_code ignored;  // open says what is wrong
  fs::create_directories(fs::path(path_).parent_path(), ignored);
  const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd < 0) return Unavailable(path_, errno);
  fd_ = fd;
  struct stat status{};
  if (::fstat(fd_, &status) != 0) return Unavailable(path_, errno);
  device_ = status.st_dev;
  inode_ = status.st_ino;
  regular_ = S_ISREG(status.st_mode);
  size_ = regular_ ? static_cast<uint64_t>(status.st_size) : 0;
  torn_ = false;
  return {};
}

// Somebody may have moved or removed the file or its directory: lines must not go into a file without a name.
bool RotatingFile::StillThere() const {
  struct stat status{};
  return fd_ >= 0 && ::stat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
}

Status RotatingFile::Write(std::string_view line, int64_t now_ms) {
  if (!StillThere()) {
    if (auto opened = Reopen(); !opened) return opened;
  }
  if (limits_.max_bytes > 0 && size_ > 0 && size_ + line.size() > limits_.max_bytes) {
    Rotate(now_ms);
    if (auto opened = Reopen(); !opened) return opened;
  }
  if (std::exchange(prune_, false)) RemoveOldBackups(now_ms);
  if (torn_) {
    if (::write(fd_, "\n", 1) != 1) return Unavailable(path_, errno);
    torn_ = false;
    ++size_;
  }
  while (!line.empty()) {
    const ssize_t written = ::write(fd_, line.data(), line.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return Unavailable(path_, written < 0 ? errno : ENOSPC);
    line.remove_prefix(static_cast<size_t>(written));
    size_ += static_cast<uint64_t>(written);
    torn_ = !line.empty();
  }
  return {};
}

// A file that cannot be renamed is written on: too long a log is better than none.
void RotatingFile::Rotate(int64_t now_ms) {
  if (!regular_) return;
  const fs::path path(path_);
  std::error_code ignored;
  int64_t at_ms = now_ms;
  while (fs::exists(path.parent_path() / BackupName(path, at_ms), ignored)) ++at_ms;
  fs::rename(path, path.parent_path() / BackupName(path, at_ms), ignored);
  prune_ = true;
}

void RotatingFile::RemoveOldBackups(int64_t now_ms) const {
  const fs::path path(path_);
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code error;
  std::vector<std::pair<int64_t, fs::path>> backups;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (const auto at_ms = BackupTime(path, entry->path().filename().string())) backups.emplace_back(*at_ms, *entry);
  }
  std::sort(backups.begin(), backups.end(), std::greater<>());
  for (size_t i = 0; i < backups.size(); ++i) {
    const bool too_many = limits_.max_backups > 0 && i >= limits_.max_backups;
    const bool too_old =
        limits_.max_age_days > 0 && backups[i].first < now_ms - static_cast<int64_t>(limits_.max_age_days) * kDayMs;
    if (too_many || too_old) fs::remove(backups[i].second, error);
  }
}

}  // namespace mi::telemetry
