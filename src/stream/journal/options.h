// The options of the embedded journal. The defaults are the documented ones.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace mi::stream {

struct JournalOptions {
  std::string path;
  uint64_t max_bytes = 4ULL << 30;             // journal.max_bytes: pages in use, not the file's size
  std::string synchronous = "full";            // sqlite.synchronous
  uint64_t max_pending_bytes = 64ULL << 20;    // labels of batches that wait for their commit
  int64_t max_dead_letter_bytes = 64LL << 20;  // above this or max_bytes / 4, the oldest dead letters are deleted
  // Another process that reads can keep the WAL from shrinking. Above this bound, publishing fails.
  uint64_t max_wal_bytes = 1ULL << 30;
  std::chrono::milliseconds trim_after{1'000};      // applied rows are deleted if no append came for this long
  std::chrono::milliseconds retry_interval{1'000};  // how often a failed journal is tried if nobody publishes
  uint64_t secret_check = 0;  // model::SecretCheck of the catalogue's secret: rows hold fingerprints made with it
  std::string kept_secret;    // that secret, if nobody configured it: the file keeps it for ReadJournalSecret
  std::chrono::milliseconds lock_wait{5'000};  // how long a write waits for a lock of another process; 0.5 s in a stop
  std::string vfs;                             // for tests

  bool operator==(const JournalOptions&) const = default;
};

}  // namespace mi::stream
