// Reads the journal behind its publisher, on its own connection, so that neither waits for the other.
//
// Threads: confined to one thread, except Wake() and CurrentLag().
// Errors: those of sqlite/database.h. A row whose bytes are damaged is not an error but a PoisonRecord.
//         Fatal: rows were deleted that had not been read; the file is damaged; damaged rows were read and put aside.
#pragma once

#include <algorithm>
#include <memory>
#include <string>

#include "codec/journal_batch.h"
#include "sqlite/database.h"
#include "stream/journal/journal.h"
#include "stream/journal/publisher.h"

namespace mi::stream {

class JournalConsumer final : public SeriesConsumer {
 public:
  // `progress` and `publisher` must outlive it. The publisher's JournalFile must have created the tables.
  static Result<std::unique_ptr<JournalConsumer>> Open(const JournalOptions& options,
                                                       const std::atomic<int>* lock_wait_ms, JournalProgress& progress,
                                                       JournalPublisher& publisher, const StreamDeps& deps);

  Status Start(PositionLookup positions) override;
  Result<Polled> Poll(size_t max_series, std::chrono::milliseconds max_wait) override;
  Status Rewind() override;
  Status DeadLetter(const PoisonRecord& record) override;
  void Release(std::span<const StreamPosition> durable) override;
  Lag CurrentLag() const override { return progress_.lag(); }
  void Wake() override { progress_.Wake(); }

  const std::string& uuid() const { return uuid_; }
  const JournalStart& start() const { return start_; }

 private:
  JournalConsumer(sqlite::Database database, JournalProgress& progress, JournalPublisher& publisher,
                  const JournalOptions& options, const StreamDeps& deps)
      : max_dead_letter_bytes_(std::min(options.max_dead_letter_bytes,
                                        static_cast<int64_t>(std::min<uint64_t>(options.max_bytes, INT64_MAX) / 4))),
        deps_(deps),
        progress_(progress),
        publisher_(publisher),
        database_(std::move(database)) {}
  Status Prepare();
  Status ReadIdentity();
  Status WriteNewIdentity(int64_t first_offset);
  Status HandleDamage(int64_t begin, int64_t damaged_before);
  Status ForgetDamagedRows(int64_t read_before);
  Result<int64_t> FirstOffset();
  Status SetLag();
  Status ReadRows(size_t max_series, int64_t end, Polled& polled);
  void NoteGap(int64_t expected, int64_t found);
  uint64_t Decode(std::string_view row, int64_t next_offset, Polled& polled);
  Result<int64_t> DropOldestDeadLetters();
  StreamPosition At(int64_t next_offset) const { return {.stream = uuid_, .partition = 0, .next_offset = next_offset}; }

  const int64_t max_dead_letter_bytes_;
  const StreamDeps deps_;
  JournalProgress& progress_;
  JournalPublisher& publisher_;
  sqlite::Database database_;
  sqlite::Statement read_;
  sqlite::Statement dead_letter_;
  sqlite::Statement drop_dead_letters_;
  codec::JournalDecoder decoder_;
  PositionLookup positions_;
  std::string uuid_;
  int64_t uuid_since_ = 1;  // the first offset with this identity
  int64_t position_ = 1;
  int64_t damaged_rows_ = 0;  // that were read since the start
  uint64_t polled_ = 0;       // series of the last poll, which count as applied with the next one
  int64_t dead_letter_bytes_ = 0;
  JournalStart start_;
};

}  // namespace mi::stream
