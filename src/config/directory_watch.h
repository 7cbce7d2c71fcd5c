// Waits for something to happen where a file stands.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <memory>
#include <set>
#include <string>

#include "base/result.h"

namespace mi::config {

// What tells one state of a file from another without reading it. Equal for a file that is absent both times.
struct FileState {
  bool exists = false;
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  struct timespec modified{};
  struct timespec changed{};

  static FileState Of(const std::string& path);
  friend bool operator==(const FileState& a, const FileState& b);
};

// Threads: confined, but for Wake().
class DirectoryWatch {
 public:
  enum class Event { kFile, kWoken, kTimeout };

  // kUnavailable when the system has no inotify instance left. `file` may be '': then only Wake() ends a wait.
  static Result<std::unique_ptr<DirectoryWatch>> Create(std::string file);
  ~DirectoryWatch();
  DirectoryWatch(const DirectoryWatch&) = delete;
  DirectoryWatch& operator=(const DirectoryWatch&) = delete;

  // Watches the directories that hold the file and what it links to, as they are now. False when one of them is not
  // there: then look again soon.
  bool Arm();
  // kFile: something happened in those directories, perhaps not to the file.
  Event Wait(std::chrono::milliseconds longest);
  // Ends the present wait, or the next. Safe in a signal handler.
  void Wake();

 private:
  DirectoryWatch(std::string file, int events, int wake) : file_(std::move(file)), events_(events), wake_(wake) {}

  const std::string file_;
  const int events_;
  const int wake_;
  std::set<int> armed_;
};

}  // namespace mi::config
