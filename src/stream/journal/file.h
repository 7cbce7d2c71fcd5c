// The journal's file, for its one writer: append, trim, measure.
//
// Threads: confined to one thread.
// Errors: those of sqlite/database.h; kOverloaded: the disk or the WAL (JournalOptions::max_wal_bytes) is full. A call
//         that fails has changed nothing, and the next call tries again.
#pragma once

#include <atomic>
#include <optional>
#include <span>
#include <string>

#include "sqlite/database.h"
#include "stream/journal/options.h"
#include "stream/journal/wal_frames.h"

namespace mi::stream {

// The secret with which the fingerprints in a journal were made, if nobody configured one: a new catalogue beside it
// must take it. '' if there was none. Nothing: there is no journal, or it is new or damaged. kInvalid: one was
// configured then.
Result<std::optional<std::string>> ReadJournalSecret(const std::string& path);

class JournalFile {
 public:
  // Creates the tables when the file is new. `lock_wait_ms` as in OpenJournalDatabase. kCorrupt: the file is damaged.
  // Reads all rows to know that.
  static Result<JournalFile> Open(const JournalOptions& options, const std::atomic<int>* lock_wait_ms = nullptr);

  struct Row {
    std::string bytes;
    uint64_t series = 0;
    int64_t seen_at_ms = 0;  // the earliest in the row
  };

  // One synced transaction: deletes a bounded number of rows before `trim_before`, then appends.
  Status Append(std::span<const Row> rows, int64_t trim_before);
  // Deletes a bounded number of rows before `trim_before`.
  Status Trim(int64_t trim_before) { return Append({}, trim_before); }
  // Tests whether the file can be written: moves the WAL into the file, which frees its space, and writes a row.
  Status Probe();

  // Commits in the WAL that SQLite did not accept when the file was opened: the WAL is damaged (wal_frames.h).
  size_t dropped_commits() const { return dropped_commits_; }
  int64_t first_offset() const { return first_offset_; }  // next_offset() when the journal is empty
  int64_t next_offset() const { return next_offset_; }
  uint64_t bytes_in_use() const { return bytes_in_use_; }  // as of the last transaction
  // What a row of this size adds to bytes_in_use(), rounded up.
  uint64_t CostOf(uint64_t row_bytes) const;

 private:
  JournalFile(sqlite::Database database, uint64_t max_wal_bytes)
      : max_wal_bytes_(max_wal_bytes), database_(std::move(database)) {}
  Status Prepare();
  Status FindDamage(const WalFrames& wal);
  Status Measure();
  Status MakeRoomInWal();

  uint64_t max_wal_bytes_;
  sqlite::Database database_;
  sqlite::Statement insert_;
  sqlite::Statement delete_;
  sqlite::Statement page_count_;
  sqlite::Statement freelist_count_;
  sqlite::Statement probe_;
  size_t dropped_commits_ = 0;
  int64_t first_offset_ = 1;
  int64_t next_offset_ = 1;
  uint64_t page_bytes_ = 0;
  uint64_t bytes_in_use_ = 0;
};

// Opens a connection with the journal's settings. `lock_wait_ms` (null: options.lock_wait) may be lowered by any thread
// while the connection lives.
Result<sqlite::Database> OpenJournalDatabase(const JournalOptions& options, const std::atomic<int>* lock_wait_ms);

// Renames a damaged journal to <path>.damaged, with its WAL, over an older one. Requires: it is not open.
Status SetJournalAside(const std::string& path);

}  // namespace mi::stream
