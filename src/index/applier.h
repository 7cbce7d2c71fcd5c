// Brings batches into the store: all of them in one transaction, or, when the store refuses something in them for good,
// everything else, and that alone aside.
//
// Threads: confined to the worker's.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "index/index_metrics.h"
#include "index/listener.h"
#include "index/retry.h"
#include "store/ports.h"
#include "stream/ports.h"
#include "telemetry/log.h"

namespace mi::index {

class Applier {
 public:
  struct Deps {
    stream::SeriesConsumer& consumer;
    store::SeriesStore& store;
    IndexListener& listener;
    const Clock& clock;
    telemetry::Logger& log;
  };
  Applier(const Deps& deps, Retry& retry, IndexMetrics& metrics) : deps_(deps), retry_(retry), metrics_(metrics) {}

  enum class Applied {
    kAll,
    kStopped,   // the worker was, before all of it was applied; the positions are then not stored
    kOutdated,  // the store went back behind these batches: read again from its positions
  };
  Applied Apply(const stream::Polled& polled);

 private:
  enum class Outcome { kApplied, kRefused, kStopped, kOutdated };

  // What is applied together, and where in the poll it stands.
  struct Piece {
    const stream::Polled& polled;
    std::span<const model::SeriesBatch> batches;
    size_t first_batch = 0;
    size_t first_record = 0;  // of the first batch, where that is a part of one
  };

  Outcome ApplyOnce(const Piece& piece, std::span<const model::StreamPosition> positions);
  // Without positions: what is refused is halved until it is one record.
  bool ApplyBatches(const stream::Polled& polled, size_t begin, size_t end);
  bool ApplyRecords(const stream::Polled& polled, size_t batch, size_t begin, size_t end);
  bool PutAsideRefused(const stream::Polled& polled, size_t batch, size_t record);
  bool PutAside(const stream::PoisonRecord& record, std::string_view label);
  void Note(const Piece& piece, const store::ApplyResult& result);
  void Tell(std::span<const model::SeriesBatch> batches, const store::ApplyResult& result);
  void NoteCollision(const Piece& piece, const store::Collision& collision);

  const Deps deps_;
  Retry& retry_;
  IndexMetrics& metrics_;
  std::string refusal_;  // the store's last reason
};

}  // namespace mi::index
