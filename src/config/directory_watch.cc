#include "config/directory_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/format.h"

namespace mi::config {
namespace {

namespace fs = std::filesystem;

// No IN_MODIFY: who writes is not done yet.
constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB |
                             IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

bool SameTime(const struct timespec& a, const struct timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

fs::path FolderOf(const fs::path& file) { return file.has_parent_path() ? file.parent_path() : fs::path("."); }

// Reads all that is there; the descriptors do not block.
bool Drain(int fd) {
  alignas(struct inotify_event) std::array<char, 4096> piece;
  bool any = false;
  while (::read(fd, piece.data(), piece.size()) > 0) any = true;
  return any;
}

std::unexpected<Error> Unavailable(const char* what) {
  return Fail(Errc::kUnavailable,
              mi::format("cannot watch the configuration: {}: {}", what, std::generic_category().message(errno)));
}

}  // namespace

FileState FileState::Of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return {};
  return {true, status.st_dev, status.st_ino, status.st_size, status.st_mtim, status.st_ctim};
}

bool operator==(const FileState& a, const FileState& b) {
  return a.exists == b.exists && a.device == b.device && a.inode == b.inode && a.size == b.size &&
         SameTime(a.modified, b.modified) && SameTime(a.changed, b.changed);
}

Result<std::unique_ptr<DirectoryWatch>> DirectoryWatch::Create(std::string file) {
  const int events = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (events < 0) return Unavailable("inotify (fs.inotify.max_user_instances)");
  const int wake = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake < 0) {
    const auto failure = Unavailable("eventfd");
    ::close(events);
    return failure;
  }
  return std::unique_ptr<DirectoryWatch>(new DirectoryWatch(std::move(file), events, wake));
}

DirectoryWatch::~DirectoryWatch() {
  ::close(events_);
  ::close(wake_);
}

bool DirectoryWatch::Arm() {
  if (file_.empty()) return true;
  std::error_code error;
  std::set<fs::path> folders = {FolderOf(file_)};
  const fs::path target = fs::canonical(file_, error);
  if (!error) folders.insert(FolderOf(target));
  bool all = true;
  std::set<int> armed;
  for (const auto& folder : folders) {
    const int watch = ::inotify_add_watch(events_, folder.c_str(), kEvents);  // the same one if it is watched already
    all = all && watch >= 0;
    if (watch >= 0) armed.insert(watch);
  }
  for (const int watch : armed_) {
    if (!armed.contains(watch)) ::inotify_rm_watch(events_, watch);
  }
  armed_ = std::move(armed);
  return all;
}

DirectoryWatch::Event DirectoryWatch::Wait(std::chrono::milliseconds longest) {
  std::array<struct pollfd, 2> waits = {{{wake_, POLLIN, 0}, {events_, POLLIN, 0}}};
  ::poll(waits.data(), waits.size(), static_cast<int>(longest.count()));
  if (Drain(wake_)) return Event::kWoken;
  return Drain(events_) ? Event::kFile : Event::kTimeout;
}

void DirectoryWatch::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_, &one, sizeof(one));  // full means awake already
}

}  // namespace mi::config
