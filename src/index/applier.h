// Brings batches into the store: all of them in one transaction. If the store refuses something in them for good, that
// alone goes to the dead letters, and the rest is applied. If the store is too slow for so many, the transactions
// become smaller, and grow again while they succeed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/fatal.h"
#include "index/metrics.h"
#include "index/retry.h"
#include "store/ports.h"
#include "stream/activity_queue.h"
#include "stream/ports.h"
#include "telemetry/log.h"

namespace mi::index {

// Is told what the index has committed: the catalogue in the same process. Called on the worker's thread, after each
// commit, in the order of the commits. The spans are valid during the call.
class IndexListener {
 public:
  virtual ~IndexListener() = default;
  // `applied` refers to positions in `batches`.
  virtual void OnApplied(std::span<const model::SeriesBatch> batches, const store::ApplyResult& applied) = 0;
  // Times that changed by activity; those that changed by batches are in ApplyResult::updated.
  virtual void OnSeenUpdated(std::span<const store::SeenUpdate> updates) = 0;
};

// What a worker is given.
struct WorkerDeps {
  stream::SeriesConsumer& consumer;
  store::SeriesStore& store;
  IndexListener* listener;          // may be null
  stream::ActivityQueue* activity;  // may be null
  const Clock& clock;
  telemetry::Logger& log;
  telemetry::Metrics& metrics;
  FatalHandler fatal;  // called from the worker's thread: the store or the stream is damaged (kCorrupt)
};

// Threads: confined to the worker's.
class Applier {
 public:
  Applier(const WorkerDeps& deps, Retry& store_retry, Retry& stream_retry, IndexMetrics& metrics)
      : deps_(deps), store_retry_(store_retry), stream_retry_(stream_retry), metrics_(metrics) {}

  // False if the worker was stopped before everything was applied. Then the positions are not stored.
  bool Apply(const stream::Polled& polled);
  // The most records that one transaction should have: as many as are polled at once.
  size_t batch_limit() const { return batch_limit_; }

 private:
  enum class Outcome { kApplied, kRefused, kTooMuch, kStopped };

  // What is applied together.
  struct Piece {
    // A batch of the piece begins at this record of polled.batches[batch]. Records are the series, then the metadata.
    struct Origin {
      size_t batch;
      size_t first_record;
    };
    const stream::Polled& polled;
    std::span<const model::SeriesBatch> batches;
    std::span<const Origin> origins;  // one per batch; none: the batches are those of the poll
    size_t records;
  };

  Outcome ApplyPiece(const Piece& piece, std::span<const model::StreamPosition> positions);
  void Report(const Piece& piece, const store::ApplyResult& applied);
  // Both apply the records [begin, end) of the poll except those that the store refuses. False if stopped.
  bool ApplyRange(const stream::Polled& polled, size_t begin, size_t end);
  bool ApplyHalves(const stream::Polled& polled, size_t begin, size_t end);
  bool PutAsideRefused(const stream::Polled& polled, size_t batch, size_t record);
  bool PutAsideCollision(const Piece& piece, const store::Collision& collision);
  bool PutAside(const stream::PoisonRecord& record, std::string_view reason_label);

  const WorkerDeps deps_;
  Retry& store_retry_;
  Retry& stream_retry_;
  IndexMetrics& metrics_;
  size_t batch_limit_ = SIZE_MAX;
  std::string refusal_;  // the store's last reason
};

}  // namespace mi::index
