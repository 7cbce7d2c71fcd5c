#include "catalog/follower.h"

#include <algorithm>
#include <utility>

#include "base/format.h"

namespace mi::catalog {

using std::chrono::milliseconds;

Follower::Follower(const FollowerOptions& options, FollowerDeps deps)
    : options_(options),
      deps_(std::move(deps)),
      gaps_(options.max_gaps),
      recounted_(deps_.clock.Steady()),
      backoff_(options.interval, std::max(options.max_retry, options.interval)) {}

void Follower::Start() {
  thread_ = std::make_unique<Periodic>([this] { return pause_; }, [this] { Run(); });
}

void Follower::Stop() {
  deps_.catalog.StopLoading();
  thread_.reset();
}

void Follower::Run() {
  if (replaced_) return;
  const Status round = Step();
  if (deps_.catalog.loading_stopped()) return;
  Note(round);
  if (round) backoff_.Reset();
  pause_ = round ? options_.interval : backoff_.Next();
}

// One round. The order matters:
//
//   State            first of all, once: changes after this mark are read later, even those made during a long load
//   ReadNewSeries    finds new series and the gaps between them
//   ReadGaps         asks for the gaps, including those of this round
//   moves, metadata, recount      when they are due
//
// Every part may be repeated without harm: known ids are ignored, times are set to the store's present values, metadata
// have a rank. So a part that fails just ends the round, and the next round does it again.
Status Follower::Step() {
  if (uuid_.empty()) {
    const store::CatalogState state = TRY(deps_.reader.State());
    uuid_ = state.uuid;
    seen_mark_ = state.seen_mark;
  }
  TRY(ReadNewSeries());
  TRY(ReadGaps());
  TRY(ReadMovesWhenDue());
  TRY(ReadMetadataWhenDue());
  TRY(RecountWhenDue());
  if (!std::exchange(loaded_, true) && deps_.on_loaded) deps_.on_loaded();
  return {};
}

void Follower::Note(const Status& round) {
  const MutexLock lock(mutex_);
  if (!round && !error_) deps_.log.Error("the catalogue does not follow the store: {}", round.error().message());
  if (round && error_) deps_.log.Info("the catalogue follows the store again");
  error_ = round ? std::nullopt : std::optional(round.error());
}

Status Follower::Health() const {
  const MutexLock lock(mutex_);
  return error_ ? Status(Fail(*error_)) : Status();
}

// A replaced store is recognised by its uuid, and a restored one by markers: series that were read, with their
// fingerprints.
//
//   ids in the store that was read:   1 ...... 90 .......... 100 <- marker
//   the same after a restore:         1 ...... 90 | 91' .... 100' 101' 102'
//
// A backup ends at some id, and the ids above it are given again, to other series. So a series that was read is missing
// now, or has another fingerprint. The newest series that was read is the first to change. Its marker is checked after
// each reading of new series, before the next reading replaces it: otherwise 102' would become the marker, and nothing
// would ever show that 91 to 100 are wrong. A marker is kept until it was checked, also when the store went away in
// between. Without new series, the check takes place every moves_interval and after each failure.
Status Follower::ReadNewSeries() {
  Catalog::NewSeries loaded;
  const Status read = deps_.catalog.LoadSeries(deps_.reader, loaded);
  gaps_.Add(loaded.skipped, deps_.clock.Steady());
  if (loaded.newest_id != 0) {
    markers_.push_back({loaded.newest_id, loaded.newest});
    markers_checked_.reset();
  }
  if (!read) {
    markers_checked_.reset();
    return read;
  }
  return IsDue(markers_checked_, options_.moves_interval) ? CheckMarkers() : Status();
}

Status Follower::CheckMarkers() {
  std::vector<store::IdRange> ids;
  ids.reserve(markers_.size());
  for (const Marker& marker : markers_) {
    if (!ids.empty() && ids.back().last + 1 == marker.id) {
      ids.back().last = marker.id;
    } else {
      ids.push_back({marker.id, marker.id});
    }
  }
  size_t unchanged = 0;
  TRY(deps_.reader.ReadSeriesIn(ids, [&](const store::StoredSeries& series) {
    if (std::ranges::find(markers_, Marker{series.id, series.fingerprint}) != markers_.end()) ++unchanged;
    return true;
  }));
  const store::CatalogState state = TRY(deps_.reader.State());
  if (state.uuid != uuid_ || unchanged < markers_.size()) {
    const Error error(Errc::kCorrupt,
                      "the store was replaced or restored: series that were read before are missing or "
                      "have other ids");
    replaced_ = true;
    deps_.fatal(error);
    return Fail(error);
  }
  if (!markers_.empty()) markers_.erase(markers_.begin(), markers_.end() - 1);
  markers_checked_ = deps_.clock.Steady();
  return {};
}

Status Follower::ReadGaps() {
  if (gaps_.empty()) return {};
  const Time asked_at = deps_.clock.Steady();
  std::vector<store::IdRange> found;
  const Status read = deps_.catalog.LoadMissing(deps_.reader, gaps_.Ranges(), found);
  gaps_.Found(found);
  // A gap is dropped only after one more question, asked when no transaction can be that old.
  if (read) gaps_.DropOlderThan(asked_at - options_.longest_transaction);
  return read;
}

// Applies the changes in portions, so that memory is bounded. The mark moves only when all were read; after an error
// the same changes are read again. Changes of series that are not known yet are ignored: such a series brings its
// present times when it is read.
Status Follower::ReadMovesWhenDue() {
  if (!IsDue(moves_read_, options_.moves_interval)) return {};
  constexpr size_t kUpdatesAtATime = 10'000;
  const Time now = deps_.clock.Steady();
  std::vector<store::SeenUpdate> updates;
  Result<uint64_t> mark = deps_.reader.ReadSeenChanges(seen_mark_, [&](const store::SeenUpdate& update) {
    updates.push_back(update);
    if (updates.size() < kUpdatesAtATime) return;
    deps_.catalog.UpdateSeen(updates);
    updates.clear();
  });
  deps_.catalog.UpdateSeen(updates);
  seen_mark_ = TRY(mark);
  moves_read_ = now;
  return {};
}

Status Follower::ReadMetadataWhenDue() {
  if (!IsDue(metadata_read_, options_.metadata_interval)) return {};
  const Time now = deps_.clock.Steady();
  TRY(deps_.catalog.LoadMetadata(deps_.reader));
  metadata_read_ = now;
  return {};
}

// Finds what gaps cannot: a gap that was forgotten (max_gaps), or that was filled later than any transaction should
// take. Both sides count the same ids, those up to the newest that was read. New rows in gaps make `stored` greater
// than what was read, so the gaps are read before the comparison. Only a catalogue that still has fewer series reads
// everything.
Status Follower::RecountWhenDue() {
  if (!IsDue(recounted_, options_.recount_interval)) return {};
  const Time now = deps_.clock.Steady();
  // Counts up to the newest series that was read. Later ones come with the next round.
  const uint64_t stored = markers_.empty() ? 0 : TRY(deps_.reader.CountSeries(markers_.back().id));
  TRY(ReadGaps());
  recounted_ = now;
  const Catalog::Stats have = deps_.catalog.stats();
  const uint64_t accounted = have.series + have.damaged;
  if (stored <= accounted) return {};
  deps_.log.Warn("the store has {} series, the catalogue {}: reading the whole store again", stored, accounted);
  return deps_.catalog.LoadAll(deps_.reader);
}

}  // namespace mi::catalog
