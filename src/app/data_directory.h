// The folder that holds the catalogue, the journal and the snapshot; one process at a time.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

  // From now on Intact() means these files as well, as they are now. kUnavailable: one is missing.
  Status Guard(std::initializer_list<std::string_view> files);
  // kUnavailable when the folder, or one of the files that are guarded, was deleted or replaced while we hold it: what
  // is written now goes nowhere. Threads: safe once all are guarded.
  Status Intact() const;

 private:
  DataDirectory(std::string path, int folder, int lock) : path_(std::move(path)), folder_(folder), lock_(lock) {}
  // What a name leads to, whatever it is called by then.
  struct Guarded {
    std::string name;
    uint64_t device = 0;
    uint64_t inode = 0;
    bool operator==(const Guarded&) const = default;
  };
  // Nothing where there is no such file.
  std::optional<Guarded> Look(std::string_view name) const;
  Status Lock();
  Status WritePid();
  std::string path_;
  int folder_;
  int lock_;
  std::vector<Guarded> guarded_;
};

}  // namespace mi::app
