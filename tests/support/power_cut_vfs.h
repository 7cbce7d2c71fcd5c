// A disk whose power can be cut: a SQLite VFS over the default one that remembers, for each file, the bytes at its last
// sync, and can bring back exactly those. kill -9 does not test fsync: the kernel still has what was written.
//
//   PowerCutVfs disk("disk");
//   auto database = Database::Open(path, {.vfs = disk.name()});
//   disk.CutAfter(17);        // the 17th write, truncation, sync or deletion from now fails, and all that follow
//   ... until disk.is_off(); then close every connection ...
//   disk.Restore(PowerCutVfs::Unsynced::kLost);
//   ... open again: what was acknowledged must be there.
//
// The model: a file's bytes and size are durable as of its last xSync, a new file exists once it was synced, a deletion
// is durable at the next sync of any file (journaling file systems keep the order of what happens to directories) or
// when SQLite asks to sync the directory. The WAL index (-shm) is memory: it never survives.
//
// Threads: safe. Connections must be closed before Restore and before the VFS ends.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace mi::tests {

class PowerCutVfs {
 public:
  // Registers itself with SQLite under `name`, which must be unique in the process.
  explicit PowerCutVfs(std::string name);
  ~PowerCutVfs();
  PowerCutVfs(const PowerCutVfs&) = delete;
  PowerCutVfs& operator=(const PowerCutVfs&) = delete;

  const std::string& name() const;

  // From now on everything but closing fails.
  void Cut();
  // So does the nth change from now on (1 is the next one), and all that follow it.
  void CutAfter(uint64_t changes);
  bool is_off() const;
  // Writes, truncations, syncs and deletions so far.
  uint64_t changes() const;

  // What becomes of sectors that were written and not synced: a disk may write them in any order, or not at all.
  enum class Unsynced { kLost, kRandomSectors };
  // Brings the durable bytes back into the files and the power on again.
  void Restore(Unsynced unsynced, uint64_t seed = 0);

  // Writes that would make a file larger fail with SQLITE_FULL.
  void SetDiskFull(bool full);

  struct Impl;  // shared with SQLite's callbacks

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace mi::tests
