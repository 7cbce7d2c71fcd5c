// The embedded journal: what Kafka is to a fleet, in one SQLite file (docs/formats/journal.md).
//
// Publishing appends: one thread encodes all batches that wait and commits them in one synced transaction (group
// commit). The consumer reads behind it on its own connection. Rows that the store holds safely are deleted with a
// later append, or on their own when the journal is idle. An offset is never used twice.
//
// Ownership: the journal owns file, threads, publisher and consumer; both are valid as long as it lives.
// Threads: publisher() is safe; consumer() is confined to one thread, except Wake() and CurrentLag().
// Errors: fatal: rows were deleted under the reader, or damage was found. The next Open() repairs what can be repaired.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "stream/deps.h"
#include "stream/journal/options.h"
#include "stream/ports.h"

namespace mi::stream {

// How the positions of the store and the journal differed at the start; normally both numbers are 0. Every row that the
// journal still has and the store has not applied is read.
struct JournalStart {
  // The number of rows that the journal has deleted but the store has not applied, because the catalogue is an older
  // backup or a new one. Their series return when their senders repeat them.
  int64_t trimmed_unapplied = 0;
  // The number of offsets by which the store was ahead, because the journal is an older copy or has lost its last rows.
  // The journal then gets a new identity and is read from its first row.
  int64_t store_ahead = 0;
};

class JournalConsumer;
class JournalProgress;
class JournalPublisher;

class Journal {
 public:
  // A damaged journal is set aside, with a line in the log, and a new one begins.
  // kUnavailable: cannot be opened. kInvalid: written by a newer version, or with another
  // identity.secret.
  // `intact`: see JournalPublisher; null: the files are always intact.
  static Result<std::unique_ptr<Journal>> Open(const JournalOptions& options, const StreamDeps& deps,
                                               std::function<Status()> intact = nullptr);
  // Stops, then deletes what was released, in one bounded step.
  ~Journal();

  SeriesPublisher& publisher();
  SeriesConsumer& consumer();

  // Accepts no more batches; commits and answers those that wait. Reading and releasing continue. Idempotent.
  void Stop();

  // Identity and next offset: a snapshot of the seen table is bound to them. Call it after consumer().Start(), which
  // may change the identity.
  StreamPosition End() const;
  const JournalStart& start() const;  // valid after consumer().Start()

 private:
  explicit Journal(const JournalOptions& options);
  std::atomic<int> lock_wait_ms_;  // of both connections
  std::unique_ptr<JournalProgress> progress_;
  std::unique_ptr<JournalPublisher> publisher_;
  std::unique_ptr<JournalConsumer> consumer_;
};

}  // namespace mi::stream
