// Simulates power cuts: a SQLite VFS on top of the default one. It remembers the bytes of each file at its last sync,
// and can restore exactly those. (kill -9 does not test fsync, because the kernel keeps what was written.)
//
//   PowerCutVfs disk("disk");
//   auto database = Database::Open(path, {.vfs = disk.name()});
//   disk.CutAfter(17);        // the 17th write, truncation, sync or deletion from now fails, and all that follow
//   ... until disk.is_off(); then close every connection ...
//   disk.Restore(PowerCutVfs::Unsynced::kLost);
//   ... open again: everything that was acknowledged must be there.
//
// The model: the bytes and the size of a file are durable as of its last xSync. A new file exists once it was synced. A
// deletion is durable at the next sync of any file (journaling file systems keep the order of directory operations), or
// when SQLite syncs the directory. The WAL index (-shm) is memory: it never survives.
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
  // The nth change from now on (1 is the next) fails, and so do all that follow it.
  void CutAfter(uint64_t changes);
  bool is_off() const;
  // Writes, truncations, syncs and deletions so far.
  uint64_t changes() const;

  // What happens to sectors that were written but not synced. A disk may write them in any order, or not at all.
  enum class Unsynced { kLost, kRandomSectors };
  // Restores the durable bytes into the files and turns the power on again.
  void Restore(Unsynced unsynced, uint64_t seed = 0);

  // Writes that would make a file larger fail with SQLITE_FULL.
  void SetDiskFull(bool full);

  struct Impl;  // shared with SQLite's callbacks

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace mi::tests
