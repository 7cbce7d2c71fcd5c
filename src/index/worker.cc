#include "index/worker.h"

#include <new>
#include <utility>

namespace mi::index {

Worker::Worker(const WorkerOptions& options, const WorkerDeps& deps)
    : options_(options),
      deps_(deps),
      metrics_(deps.metrics, options.store_figures),
      retry_(options.min_retry, options.max_retry, stop_, metrics_, deps.log),
      applier_({deps.consumer, deps.store, deps.listener, deps.clock, deps.log}, retry_, metrics_) {
  deps_.lag.Watch(deps_.consumer);
}

Worker::~Worker() {
  Stop();
  deps_.lag.Forget(deps_.consumer);
}

Status Worker::Seek() {
  Status started = deps_.consumer.Start([this](const std::string& stream, int32_t partition) {
    Result<std::optional<int64_t>> position = deps_.store.Position(stream, partition);
    if (position) NoteStored({stream, partition}, *position);
    return position;
  });
  started_ = sought_ = started.has_value();
  return started;
}

void Worker::NoteStored(const Partition& partition, std::optional<int64_t> position) {
  if (position) {
    stored_[partition] = *position;
  } else {
    stored_.erase(partition);
  }
}

void Worker::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Worker::RequestStop() {
  stop_.Request();
  deps_.consumer.Wake();
}

void Worker::Stop() {
  RequestStop();
  if (thread_.joinable()) thread_.join();
}

void Worker::Run() {
  last_checkpoint_ = compared_ = deps_.clock.Steady();
  while (!stop_.requested()) {
    WithinMemory([this] {
      if (SeekUntilDone()) Step();
    });
  }
  if (!started_) return;
  // A store that is away, or locked by somebody, would only hold up the stop.
  if (!retry_.store_is_away()) WithinMemory([this] { ApplyActivity(options_.stop_activity); });
  if (!retry_.store_is_away()) return WithinMemory([this] { MakeCheckpoint(); });
  size_t sightings = 0;
  for (const model::ActivityBatch& batch : activity_) sightings += batch.fingerprints.size();
  deps_.log.Warn("index: stops while the store is away: what that does not have is read again; {} sightings are lost",
                 sightings);
}

template <typename Work>
void Worker::WithinMemory(Work work) {
  try {
    work();
  } catch (const std::bad_alloc&) {
    sought_ = false;  // what was read and not applied must be read again
    stop_.WaitFor(retry_.Failed({"go on", Retry::Of::kMemory}, Error(Errc::kUnavailable, "out of memory")));
  }
}

bool Worker::SeekUntilDone() {
  if (sought_) return true;
  const auto found = retry_.Until({"find the position", Retry::Of::kStore}, [this] {
    if (!started_) return Seek();
    Status back = deps_.consumer.Rewind();
    sought_ = back.has_value();
    return back;
  });
  return found.has_value();
}

void Worker::Step() {
  const bool more_activity = !activity_.empty() || (deps_.activity != nullptr && deps_.activity->size() > 0);
  const auto polled = retry_.Until({"read the stream", Retry::Of::kStream}, [&] {
    return deps_.consumer.Poll(options_.max_series, more_activity ? std::chrono::milliseconds(0) : options_.max_wait);
  });
  if (!polled) return;
  const stream::Polled& found = **polled;
  const auto began = deps_.clock.Steady();
  if (!found.empty() && !Handle(found)) return;
  // A fifth of the time while there are batches, all of it when there are none.
  ApplyActivity((deps_.clock.Steady() - began) / 4);
  if (found.empty() && !more_activity) ComparePositionsWhenDue();
  MakeCheckpointWhenDue(found.empty());
  retry_.Succeeded(Retry::Of::kMemory);
}

bool Worker::Handle(const stream::Polled& polled) {
  const Applier::Applied applied = applier_.Apply(polled);
  if (applied == Applier::Applied::kOutdated) {
    sought_ = false;  // what the store has lost is read again
    applied_.clear();
  }
  if (applied != Applier::Applied::kAll) return false;
  for (const model::StreamPosition& next : polled.next) {
    applied_[{next.stream, next.partition}] = next.next_offset;
    stored_[{next.stream, next.partition}] = next.next_offset;
  }
  uncovered_series_ += polled.series;
  uncovered_ = true;
  return true;
}

void Worker::ApplyActivity(Steady::duration budget) {
  if (deps_.activity == nullptr) return;
  const auto end = deps_.clock.Steady() + budget;
  do {
    if (activity_.empty()) activity_ = deps_.activity->Take(options_.activity_chunk);
    if (activity_.empty()) return;
    const Result<std::vector<store::SeenUpdate>> updated = deps_.store.ApplyActivity(activity_);
    if (!updated) {
      // Series go first: one attempt, then the stream again. What comes meanwhile is dropped once the queue is full.
      stop_.WaitFor(retry_.Failed({"apply activity", Retry::Of::kStore}, updated.error()));
      return;
    }
    retry_.Succeeded(Retry::Of::kStore);
    activity_.clear();
    metrics_.seen_updated.Add(static_cast<double>(updated->size()));
    if (!updated->empty()) deps_.listener.OnSeenUpdated(*updated);
  } while (deps_.clock.Steady() < end);
}

void Worker::ComparePositionsWhenDue() {
  if (deps_.clock.Steady() - compared_ < options_.position_interval) return;
  compared_ = deps_.clock.Steady();
  for (const auto& [partition, last] : stored_) {
    const Result<std::optional<int64_t>> now = deps_.store.Position(partition.first, partition.second);
    if (!now) {
      // Looked at again in due time: nothing waits for it.
      (void)retry_.Failed({"look at the position", Retry::Of::kStore}, now.error());
      return;
    }
    retry_.Succeeded(Retry::Of::kStore);
    if (now->value_or(-1) >= last) continue;
    deps_.log.Warn("index: the store is behind: {}, partition {} was at {} and is at {} (-1: nowhere); read again",
                   partition.first, partition.second, last, now->value_or(-1));
    sought_ = false;
    applied_.clear();
    stored_.clear();
    return;
  }
}

void Worker::MakeCheckpointWhenDue(bool idle) {
  const bool late = deps_.clock.Steady() - last_checkpoint_ >= options_.checkpoint_interval;
  // Once more when all is quiet: only then does a store know that its memory is better given back.
  if (!uncovered_ && idle && late && !quiet_) return MakeCheckpoint();
  if (!uncovered_) return;
  if (idle || late || uncovered_series_ >= options_.checkpoint_series) MakeCheckpoint();
}

// A failure is no reason to stop: the log beside the database grows, and the next checkpoint covers more.
void Worker::MakeCheckpoint() {
  last_checkpoint_ = deps_.clock.Steady();
  quiet_ = std::exchange(uncovered_series_, 0) == 0;
  const Result<std::vector<model::StreamPosition>> covered = deps_.store.Checkpoint();
  if (!covered) {
    metrics_.CountStoreError(ToString(covered.error().code()));
    deps_.log.Warn("index: checkpoint: {}", covered.error().message());
    return;
  }
  size_t reached = 0;
  for (const model::StreamPosition& position : *covered) {
    const auto applied = applied_.find({position.stream, position.partition});
    if (applied != applied_.end() && position.next_offset >= applied->second) ++reached;
  }
  deps_.consumer.Release(*covered);
  uncovered_ = reached < applied_.size();
}

}  // namespace mi::index
