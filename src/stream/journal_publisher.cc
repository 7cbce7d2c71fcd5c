#include "stream/journal_publisher.h"

#include <algorithm>
#include <new>
#include <span>
#include <utility>

#include "base/format.h"

namespace mi::stream {
namespace {

// Small batches share a row, up to one of these: a row is what is compressed, read and lost together.
constexpr uint64_t kRowSeries = 4'096;
constexpr uint64_t kRowBytes = 4ULL << 20;

uint64_t BytesOf(const model::SeriesBatch& batch) {
  uint64_t bytes = batch.byte_size() + batch.size() * sizeof(model::Fingerprint);
  for (const model::MetricMetadata& m : batch.metadata()) {
    bytes += sizeof(m) + m.family.size() + m.type.size() + m.help.size() + m.unit.size();
  }
  return bytes;
}

// Does what needs memory, again and again while there is none; false when a second of that did not help.
template <typename Attempt>
bool WithMemory(Attempt attempt) {
  for (int i = 0; i < 100; ++i) {
    try {
      attempt();
      return true;
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  return false;
}

}  // namespace

JournalPublisher::JournalPublisher(JournalFile file, JournalTail& tail, const JournalOptions& options,
                                   const JournalDeps& deps)
    : options_(options), deps_(deps), tail_(tail), metrics_(deps.metrics), file_(std::move(file)) {
  first_offset_ = file_.first_offset();
  last_write_ = std::chrono::steady_clock::now();
  metrics_.bytes.Set(static_cast<double>(file_.bytes_in_use()));
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
  {
    MutexLock lock(mutex_);
    trim_before_ = std::max(trim_before_, offset);
  }
  work_.NotifyOne();
}

void JournalPublisher::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  while (!pending_.empty() || writing_) answered_.Wait(mutex_);
}

void JournalPublisher::Run() {
  for (;;) {
    Work work = NextWork();
    try {
      Do(work);
    } catch (const std::bad_alloc&) {
      // What a transaction held is given back by now. Whatever has no answer may be in the journal or not; it comes
      // again.
      const Status failed = Fail(Errc::kUnavailable, "out of memory");
      for (Pending& pending : work.group) AnswerOne(pending, failed, "memory");
      WithMemory([&] { NoteOutcome(failed); });
    }
    if (work.task == Task::kEnd) return;
  }
}

void JournalPublisher::Do(Work& work) {
  switch (work.task) {
    case Task::kAppend: return Append(work.group, work.trim_before);
    case Task::kTrim: {
      const Result<bool> trimmed = file_.Trim(work.trim_before);
      return NoteOutcome(trimmed ? Status() : Fail(trimmed.error()));
    }
    case Task::kProbe: return NoteOutcome(file_.Probe());
    case Task::kEnd:
      // What is left is deleted by the next process; a bounded last step keeps the stop short.
      (void)file_.Trim(work.trim_before);
      return;
  }
}

JournalPublisher::Work JournalPublisher::NextWork() {
  MutexLock lock(mutex_);
  if (std::exchange(writing_, false)) answered_.NotifyAll();
  const Task task = IdleTask();
  if (task == Task::kAppend) writing_ = true;
  return {task, std::exchange(pending_, {}), trim_before_};
}

// Waits for what comes first: batches, the end, or the time for something that nobody waits for.
JournalPublisher::Task JournalPublisher::IdleTask() {
  for (;;) {
    if (!pending_.empty()) return Task::kAppend;
    if (ending_) return Task::kEnd;
    const bool trim = trim_before_ > first_offset_ && !broken_;
    if (!trim && !broken_) {
      work_.Wait(mutex_);
      continue;
    }
    if (trim && full_) return Task::kTrim;  // somebody waits for the room
    const TimePoint due = last_write_ + (trim ? options_.trim_after : options_.retry_interval);
    if (std::chrono::steady_clock::now() >= due) return trim ? Task::kTrim : Task::kProbe;
    work_.WaitUntil(mutex_, due);
  }
}

void JournalPublisher::Append(std::vector<Pending>& group, int64_t trim_before) {
  std::vector<Encoded> encoded = Encode(group);
  Admit(encoded, trim_before);
  std::vector<JournalFile::Row> rows;
  uint64_t series = 0;
  for (Encoded& e : encoded) {
    if (!e.status) continue;
    series += e.row.series;
    rows.push_back(std::move(e.row));
  }
  if (!rows.empty()) {
    const Status committed = Commit(rows, trim_before);
    if (committed) {
      tail_.Appended(file_.next_offset(), series, rows.front().seen_at_ms);
      metrics_.published.Add(static_cast<double>(series));
    } else {
      for (Encoded& e : encoded) {
        if (!e.status) continue;
        e.status = committed;
        e.reason = committed.error().code() == Errc::kOverloaded ? "disk_full" : "unavailable";
      }
    }
    NoteOutcome(committed);
  }
  Answer(group, encoded);
}

std::vector<JournalPublisher::Encoded> JournalPublisher::Encode(const std::vector<Pending>& group) {
  std::vector<Encoded> encoded;
  std::vector<const model::SeriesBatch*> batches;
  for (size_t first = 0; first < group.size();) {
    Encoded next{.first = first, .last = first, .row = {}, .status = {}, .reason = ""};
    next.row.seen_at_ms = group[first].batch->seen_at_ms();
    uint64_t bytes = 0;
    batches.clear();
    for (; next.last < group.size(); ++next.last) {
      const model::SeriesBatch& batch = *group[next.last].batch;
      bytes += BytesOf(batch);
      if (!batches.empty() && (next.row.series + batch.size() > kRowSeries || bytes > kRowBytes)) break;
      batches.push_back(&batch);
      next.row.series += batch.size();
      next.row.seen_at_ms = std::min(next.row.seen_at_ms, batch.seen_at_ms());
    }
    const Result<std::string_view> row = encoder_.Encode(batches);
    if (row) {
      next.row.bytes = *row;
    } else {
      next.status = Fail(row.error());
      next.reason = "too_large";
    }
    first = next.last;
    encoded.push_back(std::move(next));
  }
  return encoded;
}

// Refuses the rows that would not fit below max_bytes, after everything that may leave has left.
void JournalPublisher::Admit(std::vector<Encoded>& encoded, int64_t trim_before) {
  uint64_t wanted = 0;
  for (const Encoded& e : encoded) wanted += file_.CostOf(e.row.bytes.size());
  while (file_.bytes_in_use() + wanted > options_.max_bytes && file_.first_offset() < trim_before) {
    if (!file_.Trim(trim_before)) break;
  }
  uint64_t used = file_.bytes_in_use();
  for (Encoded& e : encoded) {
    if (!e.status) continue;
    const uint64_t cost = file_.CostOf(e.row.bytes.size());
    if (used + cost <= options_.max_bytes) {
      used += cost;
      continue;
    }
    e.status = Fail(FullError(e.row.bytes.size()));
    e.reason = "full";
    // Only rows that will leave make the journal full: in an empty one a smaller batch may fit.
    if (e.status.error().code() == Errc::kTooLarge || file_.first_offset() == file_.next_offset()) continue;
    MutexLock lock(mutex_);
    full_ = e.status.error();
  }
}

Status JournalPublisher::Commit(std::span<const JournalFile::Row> rows, int64_t trim_before) {
  const Status committed = file_.Append(rows, trim_before);
  if (committed || committed.error().code() != Errc::kOverloaded) return committed;
  // The disk is full. A checkpoint lets the WAL be written from its beginning again, over room that it has already.
  if (!file_.Probe()) return committed;
  return file_.Append(rows, trim_before);
}

void JournalPublisher::Answer(std::vector<Pending>& group, const std::vector<Encoded>& encoded) {
  for (const Encoded& e : encoded) {
    for (size_t i = e.first; i < e.last; ++i) AnswerOne(group[i], e.status, e.reason);
  }
}

// Nothing more when it has its answer already.
void JournalPublisher::AnswerOne(Pending& pending, const Status& status, const char* reason) {
  if (pending.batch == nullptr) return;
  if (!status) WithMemory([&] { metrics_.errors(reason).Add(); });
  const bool answered =
      WithMemory([&] { pending.done(status ? PublishResult() : AllFailed(*pending.batch, status.error())); });
  if (!answered) deps_.log.Error("journal: no memory to answer a request; its sender repeats it");
  const std::chrono::duration<double> took = deps_.clock.Steady() - pending.began;
  metrics_.publish_seconds.Observe(took.count());
  pending.done = nullptr;
  pending.batch.reset();
  MutexLock lock(mutex_);
  pending_bytes_ -= pending.bytes;
}

void JournalPublisher::NoteOutcome(const Status& outcome) {
  metrics_.bytes.Set(static_cast<double>(file_.bytes_in_use()));
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
