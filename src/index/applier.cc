#include "index/applier.h"

#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "base/format.h"
#include "model/identity.h"

namespace mi::index {
namespace {

// The store says that these bytes can never be applied. All else is about the store, not about them.
bool IsRefusal(const Error& error) { return error.code() == Errc::kInvalid || error.code() == Errc::kTooLarge; }

std::string KeyOf(const model::SeriesBatch& batch, size_t i) {
  const std::string identity = model::FormatIdentity(batch[i].labels);
  return batch.tenant().is_default() ? identity : format("{}|{}", batch.tenant().name(), identity);
}

// One record as text: what a person needs to send it again.
std::string TextOf(const model::SeriesBatch& batch) {
  if (batch.has_series()) return KeyOf(batch, 0);
  const model::MetricMetadata& m = batch.metadata().front();
  return format("# tenant '{}' metadata of {}: type {}, unit {}, help {}", batch.tenant().name(), m.family, m.type,
                m.unit, m.help);
}

// The records of a batch, series first, from `begin` to before `end`.
model::SeriesBatch Slice(const model::SeriesBatch& batch, size_t begin, size_t end) {
  model::SeriesBatch slice(batch.tenant(), batch.seen_at_ms());
  for (size_t i = begin; i < end; ++i) {
    if (i < batch.size()) {
      slice.Add(batch[i].fingerprint, batch[i].labels.canonical());
    } else {
      slice.AddMetadata(batch.metadata()[i - batch.size()]);
    }
  }
  return slice;
}

}  // namespace

Applier::Applied Applier::Apply(const stream::Polled& polled) {
  for (const stream::PoisonRecord& poison : polled.poison) {
    if (!PutAside(poison, "undecodable")) return Applied::kStopped;
  }
  Outcome outcome = ApplyOnce({polled, polled.batches}, polled.next);
  if (outcome == Outcome::kRefused) {
    // Data may be ahead of its position, never behind: a crash in between replays it, which changes nothing.
    outcome = ApplyBatches(polled, 0, polled.batches.size()) ? ApplyOnce({polled, {}}, polled.next) : Outcome::kStopped;
  }
  switch (outcome) {
    case Outcome::kApplied: return Applied::kAll;
    case Outcome::kOutdated: return Applied::kOutdated;
    case Outcome::kStopped:
    case Outcome::kRefused: break;
  }
  return Applied::kStopped;
}

Applier::Outcome Applier::ApplyOnce(const Piece& piece, std::span<const model::StreamPosition> positions) {
  const std::span<const model::SeriesBatch> batches = piece.batches;
  const auto result = retry_.Until(
      {"apply to the store", Retry::Of::kStore},
      [&] {
        const auto began = deps_.clock.Steady();
        Result<store::ApplyResult> applied = deps_.store.Apply(batches, positions);
        const std::chrono::duration<double> took = deps_.clock.Steady() - began;
        metrics_.batch_seconds.Observe(took.count());
        return applied;
      },
      [&](const Error& error) { return error.code() == Errc::kOutdated || (IsRefusal(error) && !batches.empty()); });
  if (!result) return Outcome::kStopped;
  if (!*result) {
    metrics_.CountStoreError(ToString(result->error().code()));
    if (result->error().code() == Errc::kOutdated) {
      deps_.log.Warn("index: {}", result->error().message());
      return Outcome::kOutdated;
    }
    refusal_ = result->error().message();
    return Outcome::kRefused;
  }
  Note(piece, **result);
  return Outcome::kApplied;
}

bool Applier::ApplyBatches(const stream::Polled& polled, size_t begin, size_t end) {
  if (end - begin == 1) {
    const model::SeriesBatch& batch = polled.batches[begin];
    return ApplyRecords(polled, begin, 0, batch.size() + batch.metadata().size());
  }
  const size_t middle = begin + (end - begin) / 2;
  for (const auto& [from, to] : {std::pair(begin, middle), std::pair(middle, end)}) {
    const Outcome outcome = ApplyOnce({polled, std::span(polled.batches).subspan(from, to - from), from}, {});
    if (outcome == Outcome::kStopped) return false;
    if (outcome == Outcome::kRefused && !ApplyBatches(polled, from, to)) return false;
  }
  return true;
}

bool Applier::ApplyRecords(const stream::Polled& polled, size_t batch, size_t begin, size_t end) {
  if (begin == end) return true;
  if (end - begin == 1) return PutAsideRefused(polled, batch, begin);
  const size_t middle = begin + (end - begin) / 2;
  for (const auto& [from, to] : {std::pair(begin, middle), std::pair(middle, end)}) {
    const model::SeriesBatch slice = Slice(polled.batches[batch], from, to);
    const Outcome outcome = ApplyOnce({polled, {&slice, 1}, batch, from}, {});
    if (outcome == Outcome::kStopped) return false;
    if (outcome == Outcome::kRefused && !ApplyRecords(polled, batch, from, to)) return false;
  }
  return true;
}

bool Applier::PutAsideRefused(const stream::Polled& polled, size_t batch, size_t record) {
  const auto one = std::make_shared<const model::SeriesBatch>(Slice(polled.batches[batch], record, record + 1));
  metrics_.refused.Add(static_cast<double>(one->size()));
  deps_.log.Warn("index: the store refuses {}: {}", TextOf(*one), refusal_);
  return PutAside({.at = polled.PositionOf(batch, record), .bytes = TextOf(*one), .reason = refusal_, .record = one},
                  "refused");
}

bool Applier::PutAside(const stream::PoisonRecord& record, std::string_view label) {
  const bool done =
      retry_.Until({"write a dead letter", Retry::Of::kStream}, [&] { return deps_.consumer.DeadLetter(record); })
          .has_value();
  if (done) metrics_.dead_letters(label).Add();
  return done;
}

void Applier::Note(const Piece& piece, const store::ApplyResult& result) {
  metrics_.inserted.Add(static_cast<double>(result.inserted.size()));
  metrics_.existing.Add(static_cast<double>(result.existing));
  if (!piece.batches.empty()) Tell(piece.batches, result);
  for (const store::Collision& collision : result.collisions) NoteCollision(piece, collision);
}

// The store says once what is new: who had no memory to hear it is told all of it again, until it has.
void Applier::Tell(std::span<const model::SeriesBatch> batches, const store::ApplyResult& result) {
  retry_.Until({"tell what was applied", Retry::Of::kListener}, [&]() -> Status {
    try {
      deps_.listener.OnApplied(batches, result);
      return {};
    } catch (const std::bad_alloc&) {
      return Fail(Errc::kUnavailable, "out of memory");
    }
  });
}

// The position is stored already, with the batch that this was found in: the log has it even if the letter is lost.
void Applier::NoteCollision(const Piece& piece, const store::Collision& collision) {
  const auto one = std::make_shared<const model::SeriesBatch>(
      Slice(piece.batches[collision.batch], collision.index, collision.index + 1));
  metrics_.refused.Add();
  deps_.log.Error("index: two series with one fingerprint: {} is refused, the catalogue has {}; see identity.secret",
                  TextOf(*one), collision.stored_content);
  PutAside({.at = piece.polled.PositionOf(piece.first_batch + collision.batch, piece.first_record + collision.index),
            .bytes = TextOf(*one),
            .reason = format("its fingerprint is that of {}", collision.stored_content),
            .record = one},
           "collision");
}

}  // namespace mi::index
