#include "stream/journal/journal.h"

#include <algorithm>

#include "stream/journal/consumer.h"
#include "stream/journal/file.h"
#include "stream/journal/publisher.h"

namespace mi::stream {

// A stop must not depend on how long another process keeps its lock.
constexpr int kLockWaitAtStopMs = 500;

Journal::Journal(const JournalOptions& options) : lock_wait_ms_(static_cast<int>(options.lock_wait.count())) {}

// The consumer borrows the publisher, so it goes first. The worker's last Release has told the publisher what to trim,
// and the publisher's destructor makes one bounded trim of that. Both borrow progress_, which goes last.
Journal::~Journal() {
  Stop();
  consumer_.reset();
  publisher_.reset();
}

namespace {

void CountDamage(const StreamDeps& deps, const char* kind) {
  deps.metrics
      .GetCounter("journal_damage_total",
                  "Damage that was found in the journal. Series that were lost come back when they are sent again.",
                  {{"kind", kind}})
      .Add();
}

// A damaged journal would stop the index for ever, and its repair is simple: senders repeat what only it held. The seen
// table does not know those series after the start, because a new journal has a new identity, which no snapshot has.
Result<JournalFile> OpenOrBeginAnew(const JournalOptions& options, const std::atomic<int>* lock_wait_ms,
                                    const StreamDeps& deps) {
  Result<JournalFile> file = JournalFile::Open(options, lock_wait_ms);
  if (!file && file.error().code() == Errc::kCorrupt) {
    const Error damage = file.error();
    TRY(SetJournalAside(options.path));
    CountDamage(deps, "file");
    deps.log.Error(
        "journal: damaged: {}. It is kept as {}.damaged, and a new journal begins; series that only the damaged one "
        "held come back when senders repeat them",
        damage.message(), options.path);
    file = JournalFile::Open(options, lock_wait_ms);
  }
  if (file && file->dropped_commits() > 0) {
    CountDamage(deps, "wal");
    deps.log.Warn(
        "journal: {}-wal is damaged, or the power was cut while it was written: {} commits are lost; series that only "
        "they held come back when senders repeat them",
        options.path, file->dropped_commits());
  }
  return file;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::Open(const JournalOptions& options, const StreamDeps& deps,
                                               std::function<Status()> intact) {
  if (!intact) intact = [] { return Status(); };
  std::unique_ptr<Journal> journal(new Journal(options));
  JournalFile file = TRY_WITHIN(OpenOrBeginAnew(options, &journal->lock_wait_ms_, deps), "open the journal");
  journal->progress_ = std::make_unique<JournalProgress>(file.next_offset());
  journal->publisher_ =
      std::make_unique<JournalPublisher>(std::move(file), *journal->progress_, options, deps, std::move(intact));
  journal->consumer_ = TRY_WITHIN(
      JournalConsumer::Open(options, &journal->lock_wait_ms_, *journal->progress_, *journal->publisher_, deps),
      "open the journal");
  return journal;
}

SeriesPublisher& Journal::publisher() { return *publisher_; }
SeriesConsumer& Journal::consumer() { return *consumer_; }
void Journal::Stop() {
  lock_wait_ms_ = std::min(lock_wait_ms_.load(), kLockWaitAtStopMs);
  if (publisher_) publisher_->Stop();
}

StreamPosition Journal::End() const {
  return {.stream = consumer_->uuid(), .partition = 0, .next_offset = progress_->end().next_offset};
}

const JournalStart& Journal::start() const { return consumer_->start(); }

}  // namespace mi::stream
