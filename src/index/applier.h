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

  Outcome ApplyOnce(std::span<const model::SeriesBatch> batches, std::span<const store::StreamPosition> positions);
  // Without positions: what is refused is halved until it is one record.
  bool ApplyPieces(std::span<const model::SeriesBatch> batches);
  bool PutAside(const stream::PoisonRecord& record, std::string_view label);
  void Note(std::span<const model::SeriesBatch> batches, const store::ApplyResult& result);
  void Tell(std::span<const model::SeriesBatch> batches, const store::ApplyResult& result);
  void NoteCollision(const model::SeriesBatch& batch, const store::Collision& collision);

  const Deps deps_;
  Retry& retry_;
  IndexMetrics& metrics_;
  stream::Position at_;  // behind what is being applied: where dead letters say they are from
  std::string refusal_;  // the store's last reason
};

}  // namespace mi::index
