#include "app/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
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
  const std::string lock_path = path + "/LOCK";
  const int lock = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) {
    return Fail(Errc::kUnavailable,
                format("the data directory {} is not writable: {}; change its owner or choose another ({})", path,
                       std::strerror(errno), kKnob));
  }
  DataDirectory directory(path, lock);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    return Fail(Errc::kUnavailable,
                format("the data directory {} is in use by process {}; stop it or choose another ({})", path,
                       ReadPid(lock), kKnob));
  }
  const std::string pid = format("{}\n", getpid());
  if (ftruncate(lock, 0) != 0 || pwrite(lock, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return Fail(Errc::kUnavailable,
                format("cannot write to the data directory {}: {}; make room or choose another ({})", path,
                       std::strerror(errno), kKnob));
  }
  return directory;
}

DataDirectory::DataDirectory(DataDirectory&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

DataDirectory::~DataDirectory() {
  if (lock_ >= 0) close(lock_);
}

std::string DataDirectory::PathOf(std::string_view file) const { return format("{}/{}", path_, file); }

}  // namespace mi::app
