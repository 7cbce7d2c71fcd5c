// The embedded journal: what Kafka is to a fleet, in one SQLite file (docs/formats/journal.md).
//
// Publishing appends: one thread encodes all batches that wait, and commits them in one synced transaction (group
// commit). The consumer reads behind it on a connection of its own. Rows that the store holds safely are deleted inside
// a later append, or on their own when the journal is idle. Offsets are never used twice.
//
// Ownership: the journal owns file, threads, publisher and consumer; both are valid as long as it lives.
// Threads: publisher() is safe; consumer() is confined to one thread, but for Wake() and CurrentLag().
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "stream/ports.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::stream {

struct JournalOptions {
  std::string path;
  uint64_t max_bytes = 4ULL << 30;             // journal.max_bytes: pages in use, not the file's size
  std::string synchronous = "full";            // sqlite.synchronous
  uint64_t max_pending_bytes = 64ULL << 20;    // labels of batches that wait for their commit
  int64_t max_dead_letter_bytes = 64LL << 20;  // above it, or above max_bytes / 4, the oldest dead letters leave
  uint64_t max_wal_bytes = 1ULL << 30;  // a log that a foreign reader pins may grow to this; then publishing fails
  std::chrono::milliseconds trim_after{1'000};      // how long no append comes before applied rows are deleted anyway
  std::chrono::milliseconds retry_interval{1'000};  // how often a failed journal is tried without anybody publishing
  uint64_t secret_check = 0;  // model::SecretCheck(identity.secret): rows hold fingerprints made with it
  // How long a write waits for a foreign process' lock; a stop gives each half a second.
  std::chrono::milliseconds lock_wait{5'000};
  std::string vfs;  // for tests
};

struct JournalDeps {
  const Clock& clock;
  telemetry::Logger& log;
  telemetry::Metrics& metrics;
};

// What Start found out about the store and the journal. Nothing acknowledged is passed over in any of these cases.
struct JournalStart {
  // Offsets that the store has not applied and that the journal no longer has: the catalogue is an older backup, or a
  // new one. Their series come back as their senders repeat them.
  int64_t trimmed_unapplied = 0;
  // The store was ahead by so many offsets: the journal is an older copy. It has a new identity now, and is read from
  // its first row.
  int64_t store_ahead = 0;
};

class JournalConsumer;
class JournalPublisher;
class JournalTail;

class Journal {
 public:
  // kUnavailable: cannot be opened. kCorrupt: damaged. kInvalid: written by a newer version, or with another
  // identity.secret.
  static Result<std::unique_ptr<Journal>> Open(const JournalOptions& options, const JournalDeps& deps);
  // Stop, then a last deletion of what was released.
  ~Journal();

  SeriesPublisher& publisher();
  SeriesConsumer& consumer();

  // Takes no more; commits and answers what waits. Reading and releasing go on.
  void Stop();

  // Identity and next offset: what a snapshot of the seen table is bound to. Call after consumer().Start(), which may
  // change the identity.
  StreamPosition End() const;
  const JournalStart& start() const;  // valid after consumer().Start()

 private:
  explicit Journal(const JournalOptions& options);
  std::atomic<int> lock_wait_ms_;  // of both connections
  std::unique_ptr<JournalTail> tail_;
  std::unique_ptr<JournalPublisher> publisher_;
  std::unique_ptr<JournalConsumer> consumer_;
};

}  // namespace mi::stream
