#include "index/applier.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "base/format.h"
#include "model/identity.h"

namespace mi::index {
namespace {

// The store says that these records can never be applied. Every other error is about the store, not about them.
bool IsRefusal(const Error& error) { return error.code() == Errc::kInvalid || error.code() == Errc::kTooLarge; }

// Whether fewer records at once may succeed: the store lost a conflict with other writers, or met a limit of time or
// space. A store that is away is kUnavailable.
bool IsTooMuch(const Error& error) { return error.code() == Errc::kOverloaded; }

std::string IdentityOf(const model::SeriesBatch& batch, size_t i) {
  const std::string identity = model::FormatIdentity(batch[i].labels);
  return batch.tenant().is_default() ? identity : format("{}|{}", batch.tenant().name(), identity);
}

// A batch of one record as text: what a person needs to send it again.
std::string TextOf(const model::SeriesBatch& batch) {
  if (batch.has_series()) return IdentityOf(batch, 0);
  const model::MetricMetadata& m = batch.metadata().front();
  return format("# tenant '{}' metadata of {}: type {}, unit {}, help {}", batch.tenant().name(), m.family, m.type,
                m.unit, m.help);
}

// The records [begin, end) of a batch: the series, then the metadata.
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

size_t RecordsOf(const model::SeriesBatch& batch) { return batch.size() + batch.metadata().size(); }

}  // namespace

// Usually one transaction holds all batches and their positions. There are two reasons to apply them in halves, until
// each half is applied: the store refuses them, and does not say which record it means; or they are too many for its
// time limits. A refused half that is one record goes to the dead letters, so a bad record costs about 2 log2(n)
// transactions. These transactions store no position. The positions follow at the end, so data may be ahead of its
// position but never behind: a crash in between replays it, which changes nothing.
bool Applier::Apply(const stream::Polled& polled) {
  for (const stream::PoisonRecord& poison : polled.poison) {
    if (!PutAside(poison, "undecodable")) return false;
  }
  size_t records = 0;
  for (const model::SeriesBatch& batch : polled.batches) records += RecordsOf(batch);
  if (records <= batch_limit_) {
    const Outcome outcome = ApplyPiece({polled, polled.batches, {}, records}, polled.next);
    if (outcome == Outcome::kApplied) return true;
    if (outcome == Outcome::kStopped) return false;
  }
  return ApplyHalves(polled, 0, records) && ApplyPiece({polled, {}, {}, 0}, polled.next) == Outcome::kApplied;
}

// `batch_limit_` adapts to what the store can do within its time limits. It is halved with each attempt that was too
// much, and grows by 1/32 with each success that made use of it. So about one attempt in twenty is lost if the store
// stays slow, and a store that is fast again is used fully after some hundred transactions.
Applier::Outcome Applier::ApplyPiece(const Piece& piece, std::span<const model::StreamPosition> positions) {
  for (;;) {
    const auto began = deps_.clock.Steady();
    const Result<store::ApplyResult> applied = deps_.store.Apply(piece.batches, positions);
    const std::chrono::duration<double> took = deps_.clock.Steady() - began;
    metrics_.batch_seconds.Observe(took.count());
    if (applied) {
      store_retry_.Succeeded();
      const bool used = piece.records > batch_limit_ / 2;
      if (used) batch_limit_ += batch_limit_ / 32 + 1;
      Report(piece, *applied);
      return Outcome::kApplied;
    }
    const Error& error = applied.error();
    if (IsRefusal(error) && piece.records > 0) {
      store_retry_.Succeeded();
      metrics_.CountStoreError(ToString(error.code()));
      refusal_ = error.message();
      return Outcome::kRefused;
    }
    if (!store_retry_.WaitAfter(format("apply {} records to the store", piece.records), error)) {
      return Outcome::kStopped;
    }
    if (piece.records > 1 && IsTooMuch(error)) {
      batch_limit_ = piece.records - piece.records / 2;
      return Outcome::kTooMuch;
    }
  }
}

void Applier::Report(const Piece& piece, const store::ApplyResult& applied) {
  metrics_.inserted.Add(static_cast<double>(applied.inserted.size()));
  metrics_.existing.Add(static_cast<double>(applied.existing));
  if (!applied.healed.empty()) {
    metrics_.healed.Add(static_cast<double>(applied.healed.size()));
    deps_.log.Info("index: {} damaged rows of the store are right again", applied.healed.size());
  }
  if (deps_.listener != nullptr && piece.records > 0) deps_.listener->OnApplied(piece.batches, applied);
  for (const store::Collision& collision : applied.collisions) PutAsideCollision(piece, collision);
}

// Each half is applied as one piece; a half that is refused or too large is halved again.
//
//   records   0 1 2 3 4 5 6 7      5 can never be applied
//   pieces    [0-3] [4-7]!         applied, refused
//                   [4 5]! [6 7]   refused, applied
//                   [4] [5]!       applied; 5 is one record: a dead letter
//
// Depth first: [6 7] follows when 4 and 5 are settled, so the records are applied in their order. The depth of the
// recursion is log2(n).
bool Applier::ApplyHalves(const stream::Polled& polled, size_t begin, size_t end) {
  const size_t middle = begin + (end - begin) / 2;
  return ApplyRange(polled, begin, middle) && ApplyRange(polled, middle, end);
}

// A piece may begin and end inside of a batch, so it is copied, with the place of each of its batches (origins).
bool Applier::ApplyRange(const stream::Polled& polled, size_t begin, size_t end) {
  if (begin == end) return true;
  if (end - begin > batch_limit_) return ApplyHalves(polled, begin, end);
  std::vector<model::SeriesBatch> slices;
  std::vector<Piece::Origin> origins;
  size_t before = 0;  // records of the batches before
  for (size_t i = 0; i < polled.batches.size(); before += RecordsOf(polled.batches[i]), ++i) {
    const size_t first = std::max(begin, before) - before;
    const size_t last = std::min(end, before + RecordsOf(polled.batches[i]));
    if (before + first >= last) continue;
    slices.push_back(Slice(polled.batches[i], first, last - before));
    origins.push_back({i, first});
  }
  switch (ApplyPiece({polled, slices, origins, end - begin}, {})) {
    case Outcome::kApplied: return true;
    case Outcome::kStopped: return false;
    case Outcome::kTooMuch: return ApplyHalves(polled, begin, end);
    case Outcome::kRefused: break;
  }
  if (end - begin > 1) return ApplyHalves(polled, begin, end);
  return PutAsideRefused(polled, origins.front().batch, origins.front().first_record);
}

bool Applier::PutAsideRefused(const stream::Polled& polled, size_t batch, size_t record) {
  const auto one = std::make_shared<const model::SeriesBatch>(Slice(polled.batches[batch], record, record + 1));
  metrics_.refused.Add(static_cast<double>(one->size()));
  deps_.log.Warn("index: the store refuses {}: {}", TextOf(*one), refusal_);
  return PutAside({.at = polled.PositionOf(batch, record), .bytes = TextOf(*one), .reason = refusal_, .record = one},
                  "refused");
}

// The transaction that found the collision has stored the position already. So the log has both contents even if the
// dead letter is lost.
bool Applier::PutAsideCollision(const Piece& piece, const store::Collision& collision) {
  const auto one = std::make_shared<const model::SeriesBatch>(
      Slice(piece.batches[collision.batch], collision.index, collision.index + 1));
  metrics_.refused.Add();
  deps_.log.Error("index: two series with one fingerprint: {} is refused, the catalogue has {}; see identity.secret",
                  TextOf(*one), collision.stored_content);
  const Piece::Origin origin =
      piece.origins.empty() ? Piece::Origin{collision.batch, 0} : piece.origins[collision.batch];
  return PutAside({.at = piece.polled.PositionOf(origin.batch, origin.first_record + collision.index),
                   .bytes = TextOf(*one),
                   .reason = format("its fingerprint is that of {}", collision.stored_content),
                   .record = one},
                  "collision");
}

bool Applier::PutAside(const stream::PoisonRecord& record, std::string_view reason_label) {
  if (!stream_retry_.Until("write a dead letter", [&] { return deps_.consumer.DeadLetter(record); })) return false;
  metrics_.dead_letters(reason_label).Add();
  return true;
}

}  // namespace mi::index
