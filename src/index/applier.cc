#include "index/applier.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/format.h"
#include "model/identity.h"

namespace mi::index {
namespace {

// The store says that these records can never be applied. Every other error is about the store, not about them.
bool IsRefusal(const Error& error) { return error.code() == Errc::kInvalid || error.code() == Errc::kTooLarge; }

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

// Usually one transaction holds all batches and their positions. If the store refuses that, it does not say which
// record it means. Then the records are halved until each half is applied, or is one record, which goes to the dead
// letters: about 2 log2(n) transactions per bad record. These transactions store no position. The positions follow at
// the end, so data may be ahead of its position but never behind: a crash in between replays it, which changes nothing.
bool Applier::Apply(const stream::Polled& polled) {
  for (const stream::PoisonRecord& poison : polled.poison) {
    if (!PutAside(poison, "undecodable")) return false;
  }
  Outcome outcome = ApplyPiece({polled, polled.batches, {}}, polled.next);
  if (outcome == Outcome::kRefused) {
    size_t records = 0;
    for (const model::SeriesBatch& batch : polled.batches) records += RecordsOf(batch);
    if (!ApplyHalves(polled, 0, records)) return false;
    outcome = ApplyPiece({polled, {}, {}}, polled.next);
  }
  return outcome == Outcome::kApplied;
}

Applier::Outcome Applier::ApplyPiece(const Piece& piece, std::span<const model::StreamPosition> positions) {
  const auto result = store_retry_.Until(
      "apply to the store",
      [&] {
        const auto began = deps_.clock.Steady();
        Result<store::ApplyResult> applied = deps_.store.Apply(piece.batches, positions);
        const std::chrono::duration<double> took = deps_.clock.Steady() - began;
        metrics_.batch_seconds.Observe(took.count());
        return applied;
      },
      [&](const Error& error) { return IsRefusal(error) && !piece.batches.empty(); });
  if (!result) return Outcome::kStopped;
  if (!*result) {
    metrics_.CountStoreError(ToString(result->error().code()));
    refusal_ = result->error().message();
    return Outcome::kRefused;
  }
  const store::ApplyResult& applied = **result;
  metrics_.inserted.Add(static_cast<double>(applied.inserted.size()));
  metrics_.existing.Add(static_cast<double>(applied.existing));
  if (deps_.listener != nullptr && !piece.batches.empty()) deps_.listener->OnApplied(piece.batches, applied);
  for (const store::Collision& collision : applied.collisions) PutAsideCollision(piece, collision);
  return Outcome::kApplied;
}

// Each half is applied as one piece; a half that is refused is halved again.
//
//   records   0 1 2 3 4 5 6 7      5 can never be applied
//   pieces    [0-3] [4-7]!         applied, refused
//                   [4 5]! [6 7]   refused, applied
//                   [4] [5]!       applied; 5 is one record: a dead letter
//
// Depth first: [6 7] follows when 4 and 5 are settled, so the records are applied in their order. A piece may begin and
// end inside of a batch, so it is copied, with the place of each of its batches (origins). The depth of the recursion
// is log2(n).
bool Applier::ApplyHalves(const stream::Polled& polled, size_t begin, size_t end) {
  const size_t middle = begin + (end - begin) / 2;
  for (const auto& [from, to] : {std::pair(begin, middle), std::pair(middle, end)}) {
    std::vector<model::SeriesBatch> slices;
    std::vector<Piece::Origin> origins;
    size_t before = 0;  // records of the batches before
    for (size_t i = 0; i < polled.batches.size(); before += RecordsOf(polled.batches[i]), ++i) {
      const size_t first = std::max(from, before) - before;
      const size_t last = std::min(to, before + RecordsOf(polled.batches[i]));
      if (before + first >= last) continue;
      slices.push_back(Slice(polled.batches[i], first, last - before));
      origins.push_back({i, first});
    }
    if (slices.empty()) continue;
    const Outcome outcome = ApplyPiece({polled, slices, origins}, {});
    if (outcome == Outcome::kStopped) return false;
    if (outcome == Outcome::kApplied) continue;
    const bool done = to - from == 1 ? PutAsideRefused(polled, origins.front().batch, origins.front().first_record)
                                     : ApplyHalves(polled, from, to);
    if (!done) return false;
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
