#include "catalog/follower.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/format.h"

namespace mi::catalog {
namespace {

using std::chrono::milliseconds;

}  // namespace

Follower::Follower(const FollowerOptions& options, FollowerDeps deps)
    : options_(options),
      deps_(std::move(deps)),
      reader_(deps_.reader),
      gaps_(options.max_gaps),
      recounted_(deps_.clock.Steady()) {}

void Follower::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Follower::Stop() {
  stop_.Request();
  reader_.Stop();
  if (thread_.joinable()) thread_.join();
}

void Follower::Run() {
  milliseconds pause = options_.interval;
  do {
    const Status round = StepWithinMemory();
    Note(round);
    pause = round ? options_.interval : std::min(pause * 2, std::max(options_.max_retry, options_.interval));
  } while (stop_.WaitFor(pause));
}

Status Follower::StepWithinMemory() {
  try {
    return Step();
  } catch (const std::bad_alloc&) {
    recognised_.reset();
    return Fail(Errc::kUnavailable, "out of memory");
  }
}

Status Follower::Step() {
  Status round = RecogniseWhenDue();
  if (round) round = ReadNewSeries();
  if (round) round = ReadGaps();
  if (round) round = ReadMovesWhenDue();
  if (round) round = ReadMetadataWhenDue();
  if (round) round = RecountWhenDue();
  if (!round) recognised_.reset();
  if (round && !std::exchange(loaded_, true) && deps_.on_loaded && !stop_.requested()) deps_.on_loaded();
  return round;
}

void Follower::Note(const Status& round) {
  MutexLock lock(mutex_);
  if (!round && !error_) deps_.log.Error("the catalogue does not follow the store: {}", round.error().message());
  if (round && error_) deps_.log.Info("the catalogue follows the store again");
  error_ = round ? std::nullopt : std::optional(round.error());
}

Status Follower::Health() const {
  MutexLock lock(mutex_);
  return error_ ? Status(Fail(*error_)) : Status();
}

Status Follower::RecogniseWhenDue() {
  const Time now = deps_.clock.Steady();
  if (recognised_ && now - *recognised_ < options_.moves_interval) return {};
  Status recognised = Recognise();
  if (recognised) recognised_ = now;
  return recognised;
}

Status Follower::Recognise() {
  const Result<store::CatalogState> state = reader_.State();
  if (!state) return Fail(state.error());
  bool same = uuid_ == state->uuid;
  if (same) {
    const Result<bool> stand = MarkersStand();
    if (!stand) return Fail(stand.error());
    same = *stand;
  }
  if (!same) BeginAnew(*state);
  return {};
}

// Not only the newest: a store that was restored, and has grown since, gives a newest one of its own.
Result<bool> Follower::MarkersStand() {
  std::vector<store::IdRange> ids;
  ids.reserve(markers_.size());
  for (const Marker& marker : markers_) ids.push_back({marker.id, marker.id});
  size_t standing = 0;
  const Status read = reader_.ReadSeriesIn(ids, [&](const store::StoredSeries& series) {
    if (std::ranges::find(markers_, Marker{series.id, series.fingerprint}) != markers_.end()) ++standing;
    return true;
  });
  if (!read) return Fail(read.error());
  if (reader_.stopped()) return true;  // it was cut short
  if (standing < markers_.size()) return false;
  if (!markers_.empty()) markers_.erase(markers_.begin(), markers_.end() - 1);
  return true;
}

void Follower::BeginAnew(const store::CatalogState& state) {
  if (!uuid_.empty()) {
    deps_.log.Warn("the store is not as it was ({} up to id {}): the catalogue is read anew", state.uuid,
                   state.highest_id);
    deps_.catalog.Clear();
    gaps_.Clear();
    moves_read_.reset();
    metadata_read_.reset();
    markers_.clear();
  }
  uuid_ = state.uuid;
  seen_mark_ = state.seen_mark;
}

Status Follower::ReadNewSeries() {
  for (;;) {
    Catalog::Reading reading;
    const Status read = deps_.catalog.LoadSeries(reader_, reading);
    gaps_.Add(reading.skipped, deps_.clock.Steady());
    if (reading.newest_id != 0) markers_.push_back({reading.newest_id, reading.newest});
    if (!read || reading.newest_id == 0) return read;
    // Before the next reading, which could hide that this one was of another store.
    const Result<bool> stand = MarkersStand();
    if (!stand) return Fail(stand.error());
    if (*stand) return {};
    const Result<store::CatalogState> state = reader_.State();
    if (!state) return Fail(state.error());
    BeginAnew(*state);
  }
}

Status Follower::ReadGaps() {
  if (gaps_.empty()) return {};
  const Time asked_at = deps_.clock.Steady();
  std::vector<store::IdRange> found;
  const Status read = deps_.catalog.LoadMissing(reader_, gaps_.Ranges(), found);
  gaps_.Found(found);
  // Asked once more after it had grown too old: only then it is dead.
  if (read) gaps_.DropOlderThan(asked_at - options_.longest_transaction);
  return read;
}

Status Follower::ReadMovesWhenDue() {
  const Time now = deps_.clock.Steady();
  if (moves_read_ && now - *moves_read_ < options_.moves_interval) return {};
  std::vector<store::SeenUpdate> updates;
  const Result<uint64_t> mark = reader_.ReadSeenChanges(seen_mark_, [&](const store::SeenUpdate& update) {
    updates.push_back(update);
    if (updates.size() < 10'000) return;
    deps_.catalog.UpdateSeen(updates);
    updates.clear();
  });
  deps_.catalog.UpdateSeen(updates);
  if (!mark) return Fail(mark.error());
  seen_mark_ = *mark;
  moves_read_ = now;
  return {};
}

Status Follower::ReadMetadataWhenDue() {
  const Time now = deps_.clock.Steady();
  if (metadata_read_ && now - *metadata_read_ < options_.metadata_interval) return {};
  const Status read = deps_.catalog.LoadMetadata(reader_);
  if (read) metadata_read_ = now;
  return read;
}

Status Follower::RecountWhenDue() {
  const Time now = deps_.clock.Steady();
  if (now - recounted_ < options_.recount_interval) return {};
  // Up to what was read: series above it come with the next round, however many come meanwhile.
  const Result<uint64_t> stored = markers_.empty() ? 0 : reader_.CountSeries(markers_.back().id);
  if (!stored) return Fail(stored.error());
  // What was counted and committed late is in a gap that is remembered, or was forgotten.
  if (Status read = ReadGaps(); !read) return read;
  recounted_ = now;
  const Catalog::Stats have = deps_.catalog.stats();
  const uint64_t accounted = have.series + have.unreadable;
  if (*stored <= accounted) return {};
  deps_.log.Warn("the store has {} series, the catalogue {}: it looks for the others", *stored, accounted);
  return deps_.catalog.LoadAll(reader_);
}

}  // namespace mi::catalog
