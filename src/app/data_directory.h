// The folder that holds the catalogue, the journal and the snapshot. One process at a time uses it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace mi::app {

// Holds a lock on the folder while it lives; the kernel releases the lock when the process ends, however it ends. Both
// the folder itself and the file LOCK are locked: the folder, so that deleting LOCK lets nobody in; LOCK, because some
// file systems (NFS) cannot lock a folder, and because it tells others which process holds it.
class DataDirectory {
 public:
  // Creates the folder if it is missing, for its owner alone (0700). Errors: kUnavailable, in one line that says what
  // to do, if the folder is not writable or is locked by another process (with its pid).
  static Result<DataDirectory> Open(const std::string& path);

  std::string PathOf(std::string_view file) const;
  // A warning if everybody may enter the folder. Its rights are kept: somebody may depend on them.
  std::optional<std::string> OpenToOthers() const;

  // Makes renamed and deleted files of the folder survive a power cut.
  Status Sync() const;

  // From now on Intact() also checks these SQLite databases, as they are now, with their logs (-wal) and the indexes of
  // their logs (-shm), if they have any. Requires: they are open, because SQLite deletes both when it closes a
  // database. kUnavailable: a database is missing.
  Status Guard(std::initializer_list<std::string_view> files);
  // kUnavailable if the folder or a guarded file was deleted or replaced: what is written to it now is lost. Only a
  // restart helps. Costs about ten calls of stat. Threads: safe, once all files are guarded.
  Status Intact() const;
  // After Intact() has failed: renames SQLite's write-ahead log of each database that was replaced. The log belongs to
  // the old file, but the next start would apply it to the new one, and so damage it.
  void SetAsideOrphanedLogs() const;

 private:
  // Which file a name leads to.
  struct Identity {
    uint64_t device = 0;
    uint64_t inode = 0;
    bool operator==(const Identity&) const = default;
  };
  struct GuardedFile {
    std::string name;
    Identity identity;
    std::optional<Identity> log;    // of <name>-wal
    std::optional<Identity> index;  // of <name>-shm
  };

  DataDirectory(std::string path, FileDescriptor folder, FileDescriptor lock)
      : path_(std::move(path)), folder_(std::move(folder)), lock_(std::move(lock)) {}
  std::optional<Identity> Find(const std::string& name) const;
  Status Lock();
  Status WritePid();

  std::string path_;
  FileDescriptor folder_;
  FileDescriptor lock_;
  std::vector<GuardedFile> guarded_;
};

}  // namespace mi::app
