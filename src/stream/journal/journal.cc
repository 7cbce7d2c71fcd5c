#include "stream/journal/journal.h"

#include <algorithm>

#include "stream/journal/consumer.h"
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

Result<std::unique_ptr<Journal>> Journal::Open(const JournalOptions& options, const StreamDeps& deps,
                                               std::function<Status()> intact) {
  if (!intact) intact = [] { return Status(); };
  std::unique_ptr<Journal> journal(new Journal(options));
  JournalFile file = TRY_WITHIN(JournalFile::Open(options, &journal->lock_wait_ms_), "open the journal");
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
