// The durable stream between who receives series and who indexes them: Kafka for the fleet, the embedded journal on one
// machine. Both adapters pass the contract suite in stream/contract_test.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/series_batch.h"
#include "model/stream_position.h"

namespace mi::stream {

using model::StreamPosition;

// What became of a batch. Everything that is not named is durable.
struct PublishResult {
  struct Failure {
    size_t index;  // into the batch
    Error error;   // kOverloaded, kUnavailable: the sender may retry. kTooLarge, kInvalid: it never will succeed
  };
  std::vector<Failure> failures;          // ascending by index
  std::optional<Error> metadata_failure;  // the batch's metadata, as one

  bool all_durable() const { return failures.empty() && !metadata_failure; }
};

// Nothing of the batch is durable.
PublishResult AllFailed(const model::SeriesBatch& batch, const Error& error);

// Threads: safe. Ownership: shares the batch until `done` has been called.
class SeriesPublisher {
 public:
  using Done = std::move_only_function<void(PublishResult)>;

  virtual ~SeriesPublisher() = default;

  // Never blocks. Calls `done` exactly once, from any thread, possibly before it returns, also when the publisher is
  // stopped; but std::bad_alloc from here says that nothing was taken, and that `done` will not be called. A series is
  // durable only once `done` says so: acknowledged by all brokers, or committed to the journal.
  virtual void Publish(std::shared_ptr<const model::SeriesBatch> batch, Done done) = 0;

  // Why nothing can be published now (full, away), for /ready; success when it can.
  virtual Status Health() const = 0;
};

// Bytes in the stream that are no series: kept with their reason, so that the stream goes on behind them.
struct PoisonRecord {
  StreamPosition at;  // next_offset is the one behind the record
  std::string bytes;
  std::string reason;
  std::string key = {};  // Kafka's; '' where there is none
  // The one series or metadata entry that it holds, where it could be decoded: `bytes` is then its text for people.
  std::shared_ptr<const model::SeriesBatch> record = {};
};

// Where a record stood.
struct Origin {
  size_t part;  // index into Polled::next
  int64_t next_offset;
};
struct BatchOrigins {
  std::vector<Origin> series;
  std::vector<Origin> metadata;
};

// What one poll found, in stream order.
struct Polled {
  std::vector<model::SeriesBatch> batches;
  std::vector<PoisonRecord> poison;
  std::vector<StreamPosition> next;  // one a partition: store these in the transaction that applies the batches
  uint64_t series = 0;               // in all batches
  // Of each record of each batch; none where only the end of the poll is known (the journal's rows).
  std::vector<BatchOrigins> origins = {};

  // The position behind a record, series first.
  StreamPosition PositionOf(size_t batch, size_t record) const;
  bool empty() const { return next.empty(); }
};

// The store's answer to "where were we": nothing when it has no position of that partition.
using PositionLookup = std::function<Result<std::optional<int64_t>>(const std::string& stream, int32_t partition)>;

// Threads: confined to one thread, but for Wake() and CurrentLag(), which are safe.
class SeriesConsumer {
 public:
  struct Lag {
    uint64_t records = 0;  // series (journal) or records (Kafka) that wait to be applied
    int64_t oldest_seen_at_ms =
        0;  // when the oldest of them was received, or, in Kafka, was first known to wait; 0: none
  };

  virtual ~SeriesConsumer() = default;

  // Begins where the store left off; a stream that the store does not know is read from its first record, and so is one
  // that ends before the stored position (it was replaced by an older copy): positions that Poll gives afterwards are
  // never mistaken for those of the lost records. What is missing on either side is logged.
  virtual Status Start(PositionLookup positions) = 0;

  // Up to `max_series` series (at least one record), waiting at most `max_wait` for the first. Empty: nothing came.
  // Each poll goes on behind the one before, whether or not that was applied; Rewind() takes unapplied polls back.
  virtual Result<Polled> Poll(size_t max_series, std::chrono::milliseconds max_wait) = 0;

  // Goes back to what the store has: asks the lookup of Start again.
  virtual Status Rewind() = 0;

  // Puts a record that can never succeed aside, durably. Its position may advance only after this succeeded.
  virtual Status DeadLetter(const PoisonRecord& record) = 0;

  // Everything before `durable` survives a power cut in the store; the stream may forget it.
  virtual void Release(std::span<const StreamPosition> durable) = 0;

  virtual Lag CurrentLag() const = 0;
  // Ends a Poll that waits; when none does, the next one that would.
  virtual void Wake() = 0;
};

// Takes hints; drops them when full, and counts that.
// Threads: safe; never blocks.
class ActivityPublisher {
 public:
  virtual ~ActivityPublisher() = default;
  virtual void PublishActivity(model::ActivityBatch batch) = 0;
};

}  // namespace mi::stream
