// Reads the journal behind its publisher, on a connection of its own, so that neither waits for the other.
//
// Threads: confined to one thread, but for Wake() and CurrentLag().
// Errors: those of sqlite/database.h. A row whose bytes do not check out is no error but a PoisonRecord.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "codec/journal_batch.h"
#include "sqlite/database.h"
#include "stream/journal.h"
#include "stream/journal_publisher.h"
#include "stream/journal_tail.h"
#include "stream/ports.h"

namespace mi::stream {

class JournalConsumer final : public SeriesConsumer {
 public:
  // `tail` and `publisher` must outlive it. Open the publisher's JournalFile first: it makes the tables.
  static Result<std::unique_ptr<JournalConsumer>> Open(const JournalOptions& options,
                                                       const std::atomic<int>* lock_wait_ms, JournalTail& tail,
                                                       JournalPublisher& publisher, const JournalDeps& deps);

  Status Start(PositionLookup positions) override;
  Result<Polled> Poll(size_t max_series, std::chrono::milliseconds max_wait) override;
  Status Rewind() override;
  Status DeadLetter(const PoisonRecord& record) override;
  void Release(std::span<const StreamPosition> durable) override;
  Lag CurrentLag() const override { return tail_.lag(); }
  void Wake() override { tail_.Wake(); }

  const std::string& uuid() const { return uuid_; }
  const JournalStart& start() const { return start_; }

 private:
  JournalConsumer(sqlite::Database database, JournalTail& tail, JournalPublisher& publisher,
                  const JournalOptions& options, const JournalDeps& deps)
      : max_dead_letter_bytes_(std::min(options.max_dead_letter_bytes,
                                        static_cast<int64_t>(std::min<uint64_t>(options.max_bytes, INT64_MAX) / 4))),
        deps_(deps),
        tail_(tail),
        publisher_(publisher),
        database_(std::move(database)) {}
  Status Prepare();
  Status ReadIdentity();
  Status ChangeIdentity(int64_t first_offset);
  Result<int64_t> FirstOffset();
  Status SetLag();
  Status ReadRows(size_t max_series, int64_t end, Polled& polled);
  uint64_t Decode(std::string_view row, int64_t next_offset, Polled& polled);
  Result<int64_t> DropOldestDeadLetters();
  StreamPosition At(int64_t next_offset) const { return {.stream = uuid_, .partition = 0, .next_offset = next_offset}; }

  const int64_t max_dead_letter_bytes_;
  const JournalDeps deps_;
  JournalTail& tail_;
  JournalPublisher& publisher_;
  sqlite::Database database_;
  sqlite::Statement read_;
  sqlite::Statement dead_letter_;
  sqlite::Statement drop_dead_letters_;
  codec::JournalDecoder decoder_;
  PositionLookup positions_;
  std::string uuid_;
  int64_t uuid_since_ = 1;  // the first offset that this identity has
  int64_t position_ = 1;
  uint64_t polled_ = 0;  // series of the last poll, not applied before the next
  int64_t dead_letter_bytes_ = 0;
  JournalStart start_;
};

}  // namespace mi::stream
