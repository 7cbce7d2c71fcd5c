// Tells one state of a file from another without reading it.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>

namespace mi::config {

// All zero if there is no file. Also works on network file systems, for editors that rename a new file over the old
// one, and for ConfigMaps, which swap a link.
struct FileState {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;

  static FileState Of(const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return {};
    return {status.st_dev, status.st_ino, status.st_size, Nanoseconds(status.st_mtim), Nanoseconds(status.st_ctim)};
  }
  bool operator==(const FileState&) const = default;

 private:
  static int64_t Nanoseconds(const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }
};

}  // namespace mi::config
