// The durable stream between the receiver of series and the index: Kafka for a fleet, the embedded journal for one
// machine. Both adapters and the fake pass the contract suite (stream/testing/contract_test.h).
#pragma once

#include <cassert>
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

// The outcome of publishing a batch. Everything that is not listed is durable.
struct PublishResult {
  struct Failure {
    size_t index;  // into the batch
    Error error;   // kOverloaded, kUnavailable: the sender may retry. kTooLarge, kInvalid: retrying cannot help
  };
  std::vector<Failure> failures;          // ascending by index
  std::optional<Error> metadata_failure;  // for all of the batch's metadata

  bool all_durable() const { return failures.empty() && !metadata_failure; }
};

// Nothing of the batch is durable.
inline PublishResult AllFailed(const model::SeriesBatch& batch, const Error& error) {
  PublishResult result;
  result.failures.reserve(batch.size());
  for (size_t i = 0; i < batch.size(); ++i) result.failures.push_back({i, error});
  if (!batch.metadata().empty()) result.metadata_failure = error;
  return result;
}

// Threads: safe. Ownership: shares the batch until `done` has been called.
class SeriesPublisher {
 public:
  using Done = std::move_only_function<void(PublishResult)>;

  virtual ~SeriesPublisher() = default;

  // Never blocks. Calls `done` exactly once, from any thread, possibly before Publish returns, also when the publisher
  // is stopped. A series is durable only when `done` says so: all brokers have acknowledged it, or the journal has
  // committed it.
  virtual void Publish(std::shared_ptr<const model::SeriesBatch> batch, Done done) = 0;

  // For /ready: fails with the reason why nothing can be published now (full, unavailable).
  virtual Status Health() const = 0;
};

// A record that cannot be applied. It is stored with the reason, so that reading can continue after it.
struct PoisonRecord {
  StreamPosition at;  // next_offset is the offset after the record
  std::string bytes;
  std::string reason;
  std::string key = {};  // Kafka's; '' if there is none
  // The one series or metadata entry that the record holds, if it could be decoded. `bytes` is then readable text.
  std::shared_ptr<const model::SeriesBatch> record = {};
};

// The position after a record.
struct Origin {
  size_t part;  // index into Polled::next
  int64_t next_offset;
};
struct BatchOrigins {
  std::vector<Origin> series;
  std::vector<Origin> metadata;
};

// What one poll returned, in stream order.
struct Polled {
  std::vector<model::SeriesBatch> batches;
  std::vector<PoisonRecord> poison;
  std::vector<StreamPosition> next;  // one per partition; store these in the transaction that applies the batches
  uint64_t series = 0;               // in all batches
  // One per batch, or empty if only the end of the poll is known (the journal's rows).
  std::vector<BatchOrigins> origins = {};

  // The position after a record of a batch, numbered with the series first. Requires: !empty(), and the record exists.
  StreamPosition PositionOf(size_t batch, size_t record) const {
    assert(!empty());
    if (origins.empty()) return next.front();
    assert(batch < origins.size());
    const size_t series_here = origins[batch].series.size();
    assert(record < series_here + origins[batch].metadata.size());
    const Origin& origin =
        record < series_here ? origins[batch].series[record] : origins[batch].metadata[record - series_here];
    return {next[origin.part].stream, next[origin.part].partition, origin.next_offset};
  }
  bool empty() const { return next.empty(); }
};

// The position that the store has for a partition; nullopt if it has none.
using PositionLookup = std::function<Result<std::optional<int64_t>>(const std::string& stream, int32_t partition)>;

// Threads: confined to one thread, except Wake() and CurrentLag(), which are safe.
class SeriesConsumer {
 public:
  struct Lag {
    uint64_t records = 0;  // series (journal) or records (Kafka) that wait to be applied
    // When the oldest of them was received (Kafka: or, if it was not polled yet, known to wait); 0: none waits.
    int64_t oldest_seen_at_ms = 0;
  };

  virtual ~SeriesConsumer() = default;

  // Starts reading where the store stopped. Reads from the first record if the store has no position, or if the stream
  // ends before the store's position (an older copy replaced it). In the second case the positions of later polls
  // differ from those of the lost records. Logs what is missing on either side.
  virtual Status Start(PositionLookup positions) = 0;

  // Returns up to `max_series` series (at least one record), and waits at most `max_wait` for the first. Returns an
  // empty result if none came. Each poll continues after the previous one, whether or not that was applied; Rewind()
  // takes unapplied polls back.
  virtual Result<Polled> Poll(size_t max_series, std::chrono::milliseconds max_wait) = 0;

  // Continues at the store's positions: calls the lookup that Start was given.
  virtual Status Rewind() = 0;

  // Stores a record that can never be applied, durably. Its position may advance only after this has succeeded.
  virtual Status DeadLetter(const PoisonRecord& record) = 0;

  // Everything before `durable` survives a power cut in the store, so the stream may delete it.
  virtual void Release(std::span<const StreamPosition> durable) = 0;

  // Cheap: called before each rendering of the metrics, and whenever a poll was empty.
  virtual Lag CurrentLag() const = 0;
  // Ends a Poll that waits; if none waits, the next one that would.
  virtual void Wake() = 0;
};

// Takes activity: hints that a known series was seen again. Drops and counts what does not fit.
// Threads: safe; never blocks.
class ActivityPublisher {
 public:
  virtual ~ActivityPublisher() = default;
  virtual void PublishActivity(model::ActivityBatch batch) = 0;
};

}  // namespace mi::stream
