#include "index/worker.h"

#include <algorithm>
#include <utility>

#include "base/format.h"

namespace mi::index {

Worker::Worker(const WorkerOptions& options, const WorkerDeps& deps)
    : options_(options),
      deps_(deps),
      metrics_(deps.metrics, options.store_figures),
      store_retry_(Backoff(options.min_retry, options.max_retry), stop_, deps.log, deps.fatal, &metrics_),
      stream_retry_(Backoff(options.min_retry, options.max_retry), stop_, deps.log, deps.fatal, nullptr),
      applier_(deps, store_retry_, stream_retry_, metrics_) {}

Status Worker::Seek() {
  TRY(deps_.consumer.Start([this](const std::string& stream, int32_t partition) {
    partition_ = {stream, partition};
    return deps_.store.Position(stream, partition);
  }));
  sought_ = true;
  return {};
}

void Worker::Start() {
  NoteProgress();
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

Status Worker::Health() const {
  TRY(store_retry_.Health());
  return stream_retry_.Health();
}

int64_t Worker::SteadyMs() const {
  return std::chrono::ceil<std::chrono::milliseconds>(deps_.clock.Steady().time_since_epoch()).count();
}

Status Worker::Progress() const {
  const int64_t progressed_ms = progressed_ms_;
  const int64_t waited_ms = progressed_ms == 0 ? 0 : SteadyMs() - progressed_ms;
  const uint64_t waiting = deps_.consumer.CurrentLag().records;
  if (waited_ms < options_.stall_after.count() || waiting == 0) return {};
  const Status works = Health();
  return Fail(Errc::kUnavailable,
              format("progress: nothing was applied for {} s, {} records wait{}{}", waited_ms / 1'000, waiting,
                     works ? "" : ": ", works ? "" : works.error().message()));
}

void Worker::Run() {
  last_checkpoint_ = last_position_ = deps_.clock.Steady();
  if (!sought_) store_retry_.Until("find the position", [this] { return Seek(); });
  while (!stop_.requested()) Step();
  if (sought_) Finish();
}

// A store that is away, or locked by somebody, would only delay the stop.
void Worker::Finish() {
  constexpr std::chrono::seconds kTimeForActivity{1};
  if (!store_retry_.failing()) ApplyActivity(kTimeForActivity);
  if (!store_retry_.failing()) return MakeCheckpoint();
  size_t hints = 0;
  for (const model::ActivityBatch& batch : activity_) hints += batch.fingerprints.size();
  deps_.log.Warn(
      "index: stops while the store is away: what the store does not have is read again after the next start; {} "
      "activity hints are lost",
      hints);
}

// One round: poll, apply, activity, checkpoint. A poll that was taken is applied before the next one, or the worker
// stops: `Until` and `Apply` return without success only then. So nothing is rewound, and what was polled but not
// applied at a stop is read again from the store's position.
//
// Neither series nor activity can starve the other: while there are batches, activity gets a fifth of the time, and
// always at least one chunk. While activity waits, a poll returns at once.
void Worker::Step() {
  const bool more_activity = !activity_.empty() || (deps_.activity != nullptr && deps_.activity->size() > 0);
  const size_t most = std::min(options_.max_series, applier_.batch_limit());
  metrics_.batch_limit.Set(static_cast<double>(most));
  const auto polled = stream_retry_.Until("read the stream", [&] {
    return deps_.consumer.Poll(most, more_activity ? std::chrono::milliseconds(0) : options_.max_wait);
  });
  if (!polled) return;
  const stream::Polled& found = **polled;
  const auto began = deps_.clock.Steady();
  if (!found.empty()) {
    if (!applier_.Apply(found)) return;
    for (const model::StreamPosition& next : found.next) applied_[{next.stream, next.partition}] = next.next_offset;
    uncovered_series_ += found.series;
    uncovered_ = true;
  }
  if (!found.empty() || deps_.consumer.CurrentLag().records == 0) NoteProgress();
  ApplyActivity((deps_.clock.Steady() - began) / 4);
  if (found.empty() && !more_activity) AskPositionWhenDue();
  MakeCheckpointWhenDue(found.empty());
}

void Worker::ApplyActivity(Steady::duration budget) {
  if (deps_.activity == nullptr) return;
  const auto end = deps_.clock.Steady() + budget;
  do {
    if (activity_.empty()) activity_ = deps_.activity->Take(options_.activity_chunk);
    if (activity_.empty()) return;
    const Result<std::vector<store::SeenUpdate>> updated = deps_.store.ApplyActivity(activity_);
    if (!updated) {
      // Series go first: one attempt here, then the stream again. If the queue becomes full meanwhile, it drops hints.
      stop_.WaitFor(store_retry_.Failed("apply activity", updated.error()));
      return;
    }
    store_retry_.Succeeded();
    activity_.clear();
    metrics_.seen_updated.Add(static_cast<double>(updated->size()));
    if (deps_.listener != nullptr && !updated->empty()) deps_.listener->OnSeenUpdated(*updated);
  } while (deps_.clock.Steady() < end);
}

// The store compares its positions with the database when it is asked for one. Without this question an idle worker
// would notice a restored backup, or a store that is away, only with the next record. A failure is not retried at once,
// since nothing waits for the answer.
void Worker::AskPositionWhenDue() {
  if (!partition_ || deps_.clock.Steady() - last_position_ < options_.position_interval) return;
  last_position_ = deps_.clock.Steady();
  const Result<std::optional<int64_t>> position = deps_.store.Position(partition_->first, partition_->second);
  if (position) {
    store_retry_.Succeeded();
  } else {
    (void)store_retry_.Failed("ask for the position", position.error());
  }
}

// One more checkpoint follows when all is quiet: only then a store knows that it should release its memory.
void Worker::MakeCheckpointWhenDue(bool idle) {
  const bool late = deps_.clock.Steady() - last_checkpoint_ >= options_.checkpoint_interval;
  const bool due =
      uncovered_ ? idle || late || uncovered_series_ >= options_.checkpoint_series : idle && late && !quiet_;
  if (due) MakeCheckpoint();
}

// Data leaves the stream only after it has come through all of these steps, in this order. A crash between two of them
// repeats the later ones: at worst the stream keeps for longer what nobody needs.
//
//   Apply: data and position are committed ──> Checkpoint: they survive a power cut ──> Release: may be deleted
//
// A checkpoint may cover less than what was applied, because a reader holds the store's log. Then uncovered_ stays, and
// the next checkpoint is due as after new data. A failure does not stop the worker: the log beside the database grows,
// and the next checkpoint covers more.
void Worker::MakeCheckpoint() {
  last_checkpoint_ = deps_.clock.Steady();
  quiet_ = std::exchange(uncovered_series_, 0) == 0;
  const Result<std::vector<model::StreamPosition>> covered = deps_.store.Checkpoint();
  if (!covered) {
    metrics_.CountStoreError(ToString(covered.error().code()));
    deps_.log.Warn("index: checkpoint: {}", covered.error().message());
    return;
  }
  deps_.consumer.Release(*covered);
  size_t reached = 0;
  for (const model::StreamPosition& position : *covered) {
    const auto applied = applied_.find({position.stream, position.partition});
    if (applied != applied_.end() && position.next_offset >= applied->second) ++reached;
  }
  uncovered_ = reached < applied_.size();
}

}  // namespace mi::index
