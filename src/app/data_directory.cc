#include "app/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/format.h"

namespace mi::app {
namespace {

constexpr std::string_view kKnob = "app.data_dir, --data";

std::string ReadPid(int lock) {
  char text[32] = {};
  const ssize_t size = pread(lock, text, sizeof text - 1, 0);
  std::string pid(text, size > 0 ? static_cast<size_t>(size) : 0);
  while (!pid.empty() && pid.back() == '\n') pid.pop_back();
  return pid.empty() ? "?" : pid;
}

}  // namespace

Result<DataDirectory> DataDirectory::Open(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return Fail(Errc::kUnavailable,
                format("cannot create the data directory {}: {}; choose another ({})", path, error.message(), kKnob));
  }
  const int folder = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) {
    return Fail(Errc::kUnavailable,
                format("the data directory {} cannot be opened: {}; change its owner or choose another "
                       "({})",
                       path, std::strerror(errno), kKnob));
  }
  DataDirectory directory(path, folder, openat(folder, "LOCK", O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (directory.lock_ < 0) {
    return Fail(Errc::kUnavailable,
                format("the data directory {} is not writable: {}; change its owner or choose another ({})", path,
                       std::strerror(errno), kKnob));
  }
  if (Status locked = directory.Lock(); !locked) return Fail(locked.error());
  if (Status written = directory.WritePid(); !written) return Fail(written.error());
  return directory;
}

Status DataDirectory::Lock() {
  // A file system may have no locks for folders; LOCK has to do then.
  if ((flock(folder_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) && flock(lock_, LOCK_EX | LOCK_NB) == 0)
    return {};
  if (errno == EWOULDBLOCK) {
    return Fail(Errc::kUnavailable,
                format("the data directory {} is in use by process {}; stop it or choose another ({})", path_,
                       ReadPid(lock_), kKnob));
  }
  return Fail(
      Errc::kUnavailable,
      format("the data directory {} cannot be locked: {}; it needs a file system with locks, choose another ({})",
             path_, std::strerror(errno), kKnob));
}

Status DataDirectory::WritePid() {
  const std::string pid = format("{}\n", getpid());
  if (ftruncate(lock_, 0) != 0 || pwrite(lock_, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return Fail(Errc::kUnavailable,
                format("cannot write to the data directory {}: {}; make room or choose another ({})", path_,
                       std::strerror(errno), kKnob));
  }
  return {};
}

std::optional<DataDirectory::Guarded> DataDirectory::Look(std::string_view name) const {
  Guarded found{.name = std::string(name)};
  struct stat state{};
  if (fstatat(folder_, found.name.c_str(), &state, 0) != 0) return std::nullopt;
  found.device = state.st_dev;
  found.inode = state.st_ino;
  return found;
}

Status DataDirectory::Guard(std::initializer_list<std::string_view> files) {
  for (const std::string_view file : files) {
    auto found = Look(file);
    if (!found) return Fail(Errc::kUnavailable, format("{}: {}", PathOf(file), std::strerror(errno)));
    guarded_.push_back(*std::move(found));
  }
  return {};
}

Status DataDirectory::Intact() const {
  struct stat held{};
  struct stat found{};
  const bool same = fstat(folder_, &held) == 0 && held.st_nlink > 0 && stat(path_.c_str(), &found) == 0 &&
                    held.st_dev == found.st_dev && held.st_ino == found.st_ino;
  if (!same) {
    return Fail(
        Errc::kUnavailable,
        format("the data directory {} was deleted or moved while it is in use: what is written now is lost; put it "
               "back, or stop this process",
               path_));
  }
  for (const Guarded& file : guarded_) {
    if (Look(file.name) == file) continue;
    return Fail(Errc::kUnavailable,
                format("{} was deleted or replaced while it is in use: what is written to it now is lost; stop "
                       "this process",
                       PathOf(file.name)));
  }
  return {};
}

DataDirectory::DataDirectory(DataDirectory&& other) noexcept
    : path_(std::move(other.path_)),
      folder_(std::exchange(other.folder_, -1)),
      lock_(std::exchange(other.lock_, -1)),
      guarded_(std::move(other.guarded_)) {}

DataDirectory::~DataDirectory() {
  for (const int descriptor : {folder_, lock_}) {
    if (descriptor >= 0) close(descriptor);
  }
}

std::string DataDirectory::PathOf(std::string_view file) const { return format("{}/{}", path_, file); }

}  // namespace mi::app
