#include "stream/journal.h"

#include <algorithm>
#include <utility>

#include "stream/journal_consumer.h"
#include "stream/journal_file.h"
#include "stream/journal_publisher.h"
#include "stream/journal_tail.h"

namespace mi::stream {

// While it stops, nobody knows how long a foreign process keeps its lock.
constexpr int kLockWaitAtStopMs = 500;

Journal::Journal(const JournalOptions& options) : lock_wait_ms_(static_cast<int>(options.lock_wait.count())) {}

Journal::~Journal() {
  Stop();
  consumer_.reset();
  publisher_.reset();
}

Result<std::unique_ptr<Journal>> Journal::Open(const JournalOptions& options, const JournalDeps& deps) {
  std::unique_ptr<Journal> journal(new Journal(options));
  Result<JournalFile> file = JournalFile::Open(options, &journal->lock_wait_ms_);
  if (!file) return Fail(file.error().Within("open the journal"));
  journal->tail_ = std::make_unique<JournalTail>(file->next_offset());
  journal->publisher_ = std::make_unique<JournalPublisher>(std::move(*file), *journal->tail_, options, deps);
  Result<std::unique_ptr<JournalConsumer>> consumer =
      JournalConsumer::Open(options, &journal->lock_wait_ms_, *journal->tail_, *journal->publisher_, deps);
  if (!consumer) return Fail(consumer.error().Within("open the journal"));
  journal->consumer_ = std::move(*consumer);
  return journal;
}

SeriesPublisher& Journal::publisher() { return *publisher_; }
SeriesConsumer& Journal::consumer() { return *consumer_; }
void Journal::Stop() {
  lock_wait_ms_ = std::min(lock_wait_ms_.load(), kLockWaitAtStopMs);
  if (publisher_) publisher_->Stop();
}

StreamPosition Journal::End() const {
  return {.stream = consumer_->uuid(), .partition = 0, .next_offset = tail_->end().next_offset};
}

const JournalStart& Journal::start() const { return consumer_->start(); }

}  // namespace mi::stream
