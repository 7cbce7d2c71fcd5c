// The folder that holds the catalogue, the journal and the snapshot; one process at a time.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mi::app {

// Holds the lock while it lives; the kernel lets go of it when the process ends, however it ends. What is locked is the
// folder itself, so that nobody gets in by deleting LOCK, and LOCK, which tells the others who is in, and which works
// where a folder cannot be locked (NFS).
class DataDirectory {
 public:
  // Creates the folder when it is missing. kUnavailable, in one line that says what to do: not writable, or locked by
  // another process (with its pid).
  static Result<DataDirectory> Open(const std::string& path);

  DataDirectory(DataDirectory&& other) noexcept;
  DataDirectory& operator=(DataDirectory&&) = delete;
  ~DataDirectory();

  std::string PathOf(std::string_view file) const;

  // kUnavailable when the folder, or one of these files in it, was deleted or replaced while we hold it: what is
  // written now goes nowhere. Threads: safe.
  Status Intact(std::initializer_list<std::string_view> files) const;

 private:
  DataDirectory(std::string path, int folder, int lock) : path_(std::move(path)), folder_(folder), lock_(lock) {}
  Status Lock();
  Status WritePid();
  std::string path_;
  int folder_;
  int lock_;
};

}  // namespace mi::app
