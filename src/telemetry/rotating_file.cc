#include "telemetry/rotating_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "base/format.h"
#include "base/time_text.h"

namespace mi::telemetry {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kDayMs = 86'400'000;

// "dir/mi.log" at 2006-01-02T15:04:05.000Z is set aside as "mi-2006-01-02T15-04-05.000.log".
std::string BackupName(const fs::path& path, int64_t time_ms) {
  std::string time = FormatRfc3339(time_ms);
  std::ranges::replace(time, ':', '-');
  time.pop_back();  // the Z
  return mi::format("{}-{}{}", path.stem().string(), time, path.extension().string());
}

// When `name` was set aside; nothing if it is not a backup of `path`.
std::optional<int64_t> BackupTime(const fs::path& path, std::string name) {
  constexpr std::string_view kTime = "2006-01-02T15-04-05.000";
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  const size_t begin = path.stem().string().size() + 1;
  if (name.size() < begin + kTime.size()) return std::nullopt;
  std::string time = name.substr(begin, kTime.size()) + "Z";
  time[13] = ':';
  time[16] = ':';
  const std::optional<int64_t> time_ms = ParseRfc3339(time);
  if (!time_ms || BackupName(path, *time_ms) != name) return std::nullopt;
  return time_ms;
}

std::unexpected<Error> CannotWrite(const std::string& path, int error) {
  return Fail(Errc::kUnavailable,
              mi::format("cannot write the log {} (log.filename): {}", path, std::generic_category().message(error)));
}

}  // namespace

Status RotatingFile::Open() {
  file_.reset();
  // Readable for the group, whatever the umask is: it may be a log shipper's.
  constexpr mode_t kFileMode = 0640;
  constexpr fs::perms kFolderMode{0750};
  std::error_code ignored;  // open() below says what is wrong
  const fs::path folder = fs::path(path_).parent_path();
  if (fs::create_directories(folder, ignored)) fs::permissions(folder, kFolderMode, ignored);
  constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
  FileDescriptor file(::open(path_.c_str(), kFlags | O_EXCL, kFileMode));
  if (file.valid()) {
    (void)::fchmod(file.get(), kFileMode);
  } else {
    file = FileDescriptor(::open(path_.c_str(), kFlags, kFileMode));
  }
  if (!file.valid() || ::fstat(file.get(), &opened_) != 0) return CannotWrite(path_, errno);
  file_ = std::move(file);
  size_ = static_cast<uint64_t>(opened_.st_size);
  line_is_torn_ = false;
  return {};
}

// Another process may have moved or removed the file or its directory. Lines must not go into a file without a name.
bool RotatingFile::IsStillAtItsPath() const {
  struct stat status{};
  return file_.valid() && ::stat(path_.c_str(), &status) == 0 && status.st_dev == opened_.st_dev &&
         status.st_ino == opened_.st_ino;
}

// Before each line it checks with one stat(2) that the path still leads to the open file, so an external log rotation
// needs no signal. A line is never split over two files: it is measured before it is written. If the disk becomes full
// in the middle of a line, the next line begins with a line break, so the torn line spoils only itself.
Status RotatingFile::Write(std::string_view line, int64_t now_ms) {
  if (!IsStillAtItsPath()) TRY(Open());
  if (limits_.max_bytes > 0 && size_ > 0 && size_ + line.size() > limits_.max_bytes) {
    Rotate(now_ms);
    TRY(Open());
  }
  if (std::exchange(prune_, false)) RemoveOldBackups(now_ms);
  if (line_is_torn_) TRY(WriteBytes("\n"));
  return WriteBytes(line);
}

Status RotatingFile::WriteBytes(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return CannotWrite(path_, written < 0 ? errno : ENOSPC);
    bytes.remove_prefix(static_cast<size_t>(written));
    size_ += static_cast<uint64_t>(written);
    line_is_torn_ = !bytes.empty();
  }
  return {};
}

// A file that cannot be renamed is continued: a log that is too long is better than none. A device or pipe is never set
// aside.
void RotatingFile::Rotate(int64_t now_ms) {
  if (!S_ISREG(opened_.st_mode)) return;
  const fs::path path(path_);
  std::error_code ignored;
  int64_t time_ms = now_ms;
  while (fs::exists(path.parent_path() / BackupName(path, time_ms), ignored)) ++time_ms;
  fs::rename(path, path.parent_path() / BackupName(path, time_ms), ignored);
  prune_ = true;
}

void RotatingFile::RemoveOldBackups(int64_t now_ms) const {
  const fs::path path(path_);
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code error;
  std::vector<std::pair<int64_t, fs::path>> backups;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (const auto time_ms = BackupTime(path, entry->path().filename().string())) {
      backups.emplace_back(*time_ms, *entry);
    }
  }
  std::ranges::sort(backups, std::greater<>());  // the newest first
  for (size_t i = 0; i < backups.size(); ++i) {
    const bool too_many = limits_.max_backups > 0 && i >= limits_.max_backups;
    const bool too_old =
        limits_.max_age_days > 0 && backups[i].first < now_ms - static_cast<int64_t>(limits_.max_age_days) * kDayMs;
    if (too_many || too_old) fs::remove(backups[i].second, error);
  }
}

}  // namespace mi::telemetry
