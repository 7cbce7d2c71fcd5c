#include "stream/journal/publisher.h"

#include <algorithm>
#include <utility>

#include "base/format.h"

namespace mi::stream {
namespace {

// Small batches share a row up to these bounds. A row is what is compressed, read and, if damaged, lost together.
constexpr uint64_t kRowSeries = 4'096;
constexpr uint64_t kRowBytes = 4ULL << 20;

uint64_t BytesOf(const model::SeriesBatch& batch) {
  uint64_t bytes = batch.byte_size() + batch.size() * sizeof(model::Fingerprint);
  for (const model::MetricMetadata& m : batch.metadata()) {
    bytes += sizeof(m) + m.family.size() + m.type.size() + m.help.size() + m.unit.size();
  }
  return bytes;
}

}  // namespace

JournalPublisher::JournalPublisher(JournalFile file, JournalProgress& progress, const JournalOptions& options,
                                   const StreamDeps& deps, std::function<Status()> intact)
    : options_(options),
      deps_(deps),
      intact_(std::move(intact)),
      progress_(progress),
      metrics_(deps.metrics),
      bytes_in_use_(
          deps.metrics.GetGauge("journal_bytes", "Pages of the journal in use, bytes; bounded by journal.max_bytes.")),
      file_(std::move(file)) {
  first_offset_ = file_.first_offset();
  last_write_ = std::chrono::steady_clock::now();
  bytes_in_use_.Set(static_cast<double>(file_.bytes_in_use()));
  NoteOutcome(file_.Probe());  // so that Health() is right before the first batch
  writer_ = std::thread([this] { Run(); });
}

JournalPublisher::~JournalPublisher() {
  Stop();
  {
    MutexLock lock(mutex_);
    ending_ = true;
  }
  work_.NotifyAll();
  writer_.join();
}

void JournalPublisher::Publish(std::shared_ptr<const model::SeriesBatch> batch, Done done) {
  if (batch->empty()) return done({});
  std::optional<Refusal> refusal;
  {
    MutexLock lock(mutex_);
    refusal = RefusalNow();
    if (!refusal) {
      const uint64_t bytes = BytesOf(*batch);
      pending_.push_back({std::move(batch), std::move(done), bytes, deps_.clock.Steady()});
      pending_bytes_ += bytes;
      work_.NotifyOne();
      return;
    }
  }
  metrics_.errors(refusal->reason).Add();
  done(AllFailed(*batch, refusal->error));
}

std::optional<JournalPublisher::Refusal> JournalPublisher::RefusalNow() const {
  if (stopped_) return Refusal{{Errc::kUnavailable, "the journal is stopped"}, "stopped"};
  if (pending_bytes_ >= options_.max_pending_bytes) {
    return Refusal{{Errc::kOverloaded, format("{} of series wait for the journal, limit {}",
                                              FormatBytes(pending_bytes_), FormatBytes(options_.max_pending_bytes))},
                   "queue"};
  }
  if (full_) return Refusal{*full_, "full"};
  return std::nullopt;
}

Status JournalPublisher::Health() const {
  MutexLock lock(mutex_);
  if (stopped_) return Fail(Errc::kUnavailable, "the journal is stopped");
  if (broken_) return Fail(*broken_);
  if (full_) return Fail(*full_);
  return {};
}

void JournalPublisher::Trim(int64_t offset) {
  if (!intact_()) return;  // the catalogue holds the rows in a file that nobody will find again
  {
    MutexLock lock(mutex_);
    trim_before_ = std::max(trim_before_, offset);
  }
  work_.NotifyOne();
}

// A batch is in pending_, or in the group that `writing_` stands for, until it is answered: NextWork moves it from one
// to the other under the lock. Once `stopped_` is set nothing is added. So when both are empty, every batch is
// answered. The thread goes on to trim, because the consumer still releases rows. The destructor ends it.
void JournalPublisher::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  while (!pending_.empty() || writing_) answered_.Wait(mutex_);
}

void JournalPublisher::Run() {
  for (;;) {
    Work work = NextWork();
    switch (work.task) {
      case Task::kAppend: Append(work.group, work.trim_before); break;
      case Task::kTrim: NoteOutcome(file_.Trim(work.trim_before)); break;
      case Task::kProbe: NoteOutcome(file_.Probe()); break;
      case Task::kEnd:
        // One bounded step keeps the stop short. The next process deletes what is left.
        (void)file_.Trim(work.trim_before);
        return;
    }
  }
}

JournalPublisher::Work JournalPublisher::NextWork() {
  MutexLock lock(mutex_);
  if (std::exchange(writing_, false)) answered_.NotifyAll();
  const Task task = AwaitTask();
  if (task == Task::kAppend) writing_ = true;
  return {task, std::exchange(pending_, {}), trim_before_};
}

// Batches go first. While none waits, this is what the writing thread does next:
//
//   broken_                    probe, retry_interval after the last write (a batch that comes earlier is the probe)
//   rows to trim, full_        trim at once: senders wait for the space
//   rows to trim               trim, trim_after after the last write: an append that comes earlier trims them as well
//   none of these              sleep
//
// No wake-up is lost: Publish, Trim and the destructor change their conditions under the lock before they notify, and
// the other conditions belong to this thread.
JournalPublisher::Task JournalPublisher::AwaitTask() {
  for (;;) {
    if (!pending_.empty()) return Task::kAppend;
    if (ending_) return Task::kEnd;
    const bool trim = trim_before_ > first_offset_ && !broken_;
    if (!trim && !broken_) {
      work_.Wait(mutex_);
      continue;
    }
    if (trim && full_) return Task::kTrim;  // senders wait for the space
    const TimePoint due = last_write_ + (trim ? options_.trim_after : options_.retry_interval);
    if (std::chrono::steady_clock::now() >= due) return trim ? Task::kTrim : Task::kProbe;
    work_.WaitUntil(mutex_, due);
  }
}

// Group commit. While one transaction is synced, further batches queue up; the next transaction takes all of them. So a
// sync is shared by as many batches as arrive during a sync, and the latency of a batch is at most two syncs. Encoding
// happens before the transaction begins, which keeps the file's lock short for the consumer's dead letters.
//
//   batches    b1 b2 b3 b4 b5        the group, in order of arrival
//   rows       [  r1  ] [ r2 ]       small batches share a row
//   commit     ----------------      all rows in one transaction, or none
void JournalPublisher::Append(std::vector<PendingBatch>& group, int64_t trim_before) {
  std::vector<GroupRow> rows = Encode(group);
  RefuseRowsWithoutRoom(rows, trim_before);
  std::vector<JournalFile::Row> accepted;
  uint64_t series = 0;
  for (GroupRow& row : rows) {
    if (row.refusal) continue;
    series += row.row.series;
    accepted.push_back(std::move(row.row));
  }
  if (!accepted.empty()) {
    const Status committed = Commit(accepted, trim_before);
    if (committed) {
      progress_.Appended(file_.next_offset(), series, accepted.front().seen_at_ms);
      metrics_.published.Add(static_cast<double>(series));
    } else {
      const char* reason = committed.error().code() == Errc::kOverloaded ? "disk_full" : "unavailable";
      for (GroupRow& row : rows) {
        if (!row.refusal) row.refusal = {committed.error(), reason};
      }
    }
    NoteOutcome(committed);
  }
  for (const GroupRow& row : rows) {
    for (size_t i = row.first; i < row.last; ++i) Answer(group[i], row.refusal);
  }
}

std::vector<JournalPublisher::GroupRow> JournalPublisher::Encode(const std::vector<PendingBatch>& group) {
  std::vector<GroupRow> rows;
  std::vector<const model::SeriesBatch*> batches;
  for (size_t first = 0; first < group.size();) {
    GroupRow next{.first = first, .last = first, .row = {}, .refusal = {}};
    next.row.seen_at_ms = group[first].batch->seen_at_ms();
    uint64_t bytes = 0;
    batches.clear();
    for (; next.last < group.size(); ++next.last) {
      const model::SeriesBatch& batch = *group[next.last].batch;
      bytes += group[next.last].bytes;
      if (!batches.empty() && (next.row.series + batch.size() > kRowSeries || bytes > kRowBytes)) break;
      batches.push_back(&batch);
      next.row.series += batch.size();
      next.row.seen_at_ms = std::min(next.row.seen_at_ms, batch.seen_at_ms());
    }
    const Result<std::string_view> row = encoder_.Encode(batches);
    if (row) {
      next.row.bytes = *row;
    } else {
      next.refusal = {row.error(), "too_large"};
    }
    first = next.last;
    rows.push_back(std::move(next));
  }
  return rows;
}

// First deletes what may be deleted, then refuses the rows that still do not fit below max_bytes.
void JournalPublisher::RefuseRowsWithoutRoom(std::vector<GroupRow>& rows, int64_t trim_before) {
  uint64_t wanted = 0;
  for (const GroupRow& row : rows) wanted += file_.CostOf(row.row.bytes.size());
  while (file_.bytes_in_use() + wanted > options_.max_bytes && file_.first_offset() < trim_before) {
    if (!file_.Trim(trim_before)) break;
  }
  uint64_t used = file_.bytes_in_use();
  for (GroupRow& row : rows) {
    if (row.refusal) continue;
    const uint64_t cost = file_.CostOf(row.row.bytes.size());
    if (used + cost <= options_.max_bytes) {
      used += cost;
      continue;
    }
    row.refusal = {FullError(row.row.bytes.size()), "full"};
    // The journal counts as full only if rows are left whose deletion will help. In an empty one, a smaller batch may
    // fit.
    if (row.refusal->error.code() == Errc::kTooLarge || file_.first_offset() == file_.next_offset()) continue;
    MutexLock lock(mutex_);
    full_ = row.refusal->error;
  }
}

Status JournalPublisher::Commit(std::span<const JournalFile::Row> rows, int64_t trim_before) {
  Status committed = file_.Append(rows, trim_before);
  if (!committed && committed.error().code() == Errc::kOverloaded) {
    // The disk is full. After a checkpoint, SQLite writes the WAL again from its beginning, over space that it has.
    if (!file_.Probe()) return committed;
    committed = file_.Append(rows, trim_before);
  }
  return committed ? intact_() : committed;
}

void JournalPublisher::Answer(PendingBatch& pending, const std::optional<Refusal>& refusal) {
  if (refusal) metrics_.errors(refusal->reason).Add();
  pending.done(refusal ? AllFailed(*pending.batch, refusal->error) : PublishResult());
  const std::chrono::duration<double> took = deps_.clock.Steady() - pending.began;
  metrics_.publish_seconds.Observe(took.count());
  pending.done = nullptr;
  pending.batch.reset();
  MutexLock lock(mutex_);
  pending_bytes_ -= pending.bytes;
}

// full_ ends with the first row that is deleted, whether or not that is enough: the next batch measures again.
void JournalPublisher::NoteOutcome(const Status& outcome) {
  if (!outcome && outcome.error().code() == Errc::kCorrupt) deps_.fatal(outcome.error().Within("journal"));
  bytes_in_use_.Set(static_cast<double>(file_.bytes_in_use()));
  MutexLock lock(mutex_);
  last_write_ = std::chrono::steady_clock::now();
  if (!outcome && !broken_) {
    deps_.log.Error("journal: cannot write, answering 503 until it works again: {}", outcome.error().message());
  } else if (outcome && broken_) {
    deps_.log.Info("journal: writing again");
  }
  broken_ = outcome ? std::nullopt : std::optional(outcome.error());
  if (file_.first_offset() > first_offset_) full_.reset();
  first_offset_ = file_.first_offset();
}

Error JournalPublisher::FullError(uint64_t row_bytes) const {
  const bool never = file_.CostOf(row_bytes) > options_.max_bytes;
  return {never ? Errc::kTooLarge : Errc::kOverloaded,
          format("the journal is full: {} in use and {} more, limit {} (journal.max_bytes)",
                 FormatBytes(file_.bytes_in_use()), FormatBytes(row_bytes), FormatBytes(options_.max_bytes))};
}

}  // namespace mi::stream
