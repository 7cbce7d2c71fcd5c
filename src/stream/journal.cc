#include "stream/journal.h"

#include <utility>

#include "stream/journal_consumer.h"
#include "stream/journal_file.h"
#include "stream/journal_publisher.h"
#include "stream/journal_tail.h"

namespace mi::stream {

Journal::Journal() = default;

Journal::~Journal() {
  consumer_.reset();
  publisher_.reset();
}

Result<std::unique_ptr<Journal>> Journal::Open(const JournalOptions& options, const JournalDeps& deps) {
  Result<JournalFile> file = JournalFile::Open(options);
  if (!file) return Fail(file.error().Within("open the journal"));
  std::unique_ptr<Journal> journal(new Journal);
  journal->tail_ = std::make_unique<JournalTail>(file->next_offset());
  journal->publisher_ = std::make_unique<JournalPublisher>(std::move(*file), *journal->tail_, options, deps);
  Result<std::unique_ptr<JournalConsumer>> consumer =
      JournalConsumer::Open(options, *journal->tail_, *journal->publisher_, deps);
  if (!consumer) return Fail(consumer.error().Within("open the journal"));
  journal->consumer_ = std::move(*consumer);
  return journal;
}

SeriesPublisher& Journal::publisher() { return *publisher_; }
SeriesConsumer& Journal::consumer() { return *consumer_; }
void Journal::Stop() { publisher_->Stop(); }

Position Journal::End() const {
  return {.stream = consumer_->uuid(), .partition = 0, .next_offset = tail_->end().next_offset};
}

const JournalStart& Journal::start() const { return consumer_->start(); }

}  // namespace mi::stream
