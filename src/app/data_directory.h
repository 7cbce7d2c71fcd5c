// The folder that holds the catalogue, the journal and the snapshot; one process at a time.
#pragma once

#include <string>

#include "base/result.h"

namespace mi::app {

// Holds the lock while it lives; the kernel lets go of it when the process ends, however it ends.
class DataDirectory {
 public:
  // Creates the folder when it is missing. kUnavailable, in one line that says what to do: not writable, or locked by
  // another process (with its pid).
  static Result<DataDirectory> Open(const std::string& path);

  DataDirectory(DataDirectory&& other) noexcept;
  DataDirectory& operator=(DataDirectory&&) = delete;
  ~DataDirectory();

  std::string PathOf(std::string_view file) const;

 private:
  DataDirectory(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  std::string path_;
  int lock_;
};

}  // namespace mi::app
