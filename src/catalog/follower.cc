#include "catalog/follower.h"

#include <algorithm>
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
    const Status round = Step();
    Note(round);
    pause = round ? options_.interval : std::min(pause * 2, std::max(options_.max_retry, options_.interval));
  } while (stop_.WaitFor(pause));
}

Status Follower::Step() {
  Status round = recognised_ ? Status() : Recognise();
  if (round) round = ReadNewSeries();
  if (round) round = ReadGaps();
  if (round) round = ReadMovesWhenDue();
  if (round) round = ReadMetadataWhenDue();
  if (round) round = RecountWhenDue();
  // What comes back after a failure may be another store.
  recognised_ = round.has_value();
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

Status Follower::Recognise() {
  const Result<store::CatalogState> state = reader_.State();
  if (!state) return Fail(state.error());
  if (!uuid_.empty()) {
    const Result<bool> same = IsTheSame(*state);
    if (!same) return Fail(same.error());
    if (*same) return {};
    deps_.log.Warn("the store is not as it was ({} up to id {}): the catalogue is read anew", state->uuid,
                   state->highest_id);
    deps_.catalog.Clear();
    gaps_.Clear();
    moves_read_.reset();
    metadata_read_.reset();
    marker_id_ = 0;
  }
  uuid_ = state->uuid;
  seen_mark_ = state->seen_mark;
  return {};
}

// A backup that was restored gives the ids behind its end to other series: the newest one that was read tells.
Result<bool> Follower::IsTheSame(const store::CatalogState& state) {
  if (uuid_ != state.uuid || state.highest_id < deps_.catalog.stats().highest_id) return false;
  if (marker_id_ == 0) return true;
  bool same = false;
  const Status read = reader_.ReadSeriesById(std::span(&marker_id_, 1), [&](const store::StoredSeries& series) {
    same = series.fingerprint == marker_;
    return true;
  });
  if (!read) return Fail(read.error());
  return same;
}

Status Follower::ReadNewSeries() {
  Catalog::Reading reading;
  const Status read = deps_.catalog.LoadSeries(reader_, reading);
  gaps_.Add(reading.skipped, deps_.clock.Steady());
  if (reading.newest_id != 0) {
    marker_id_ = reading.newest_id;
    marker_ = reading.newest;
  }
  return read;
}

Status Follower::ReadGaps() {
  if (gaps_.empty()) return {};
  const Time asked_at = deps_.clock.Steady();
  std::vector<uint64_t> found;
  const Status read = deps_.catalog.LoadMissing(reader_, gaps_.Ids(), found);
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
  const Result<store::CatalogState> state = reader_.State();
  if (!state) return Fail(state.error());
  const Result<uint64_t> stored = reader_.CountSeries(state->highest_id);
  if (!stored) return Fail(stored.error());
  recounted_ = now;
  const Catalog::Stats have = deps_.catalog.stats();
  const uint64_t accounted = have.series + have.unreadable + have.refused;
  // Those above the highest id that is known come with the next round.
  if (*stored <= accounted || state->highest_id > have.highest_id) return {};
  deps_.log.Warn("the store has {} series, the catalogue {}: it looks for the others", *stored, accounted);
  return deps_.catalog.LoadAll(reader_);
}

}  // namespace mi::catalog
