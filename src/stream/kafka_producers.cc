#include "stream/kafka_producers.h"

#include <algorithm>
#include <utility>

namespace mi::stream {

using std::chrono::milliseconds;

Status KafkaProducers::Begin() {
  auto made = Make({});
  if (!made) return Fail(made.error());
  polled_ = std::move(*made);
  MutexLock lock(mutex_);
  current_ = polled_;
  return {};
}

std::shared_ptr<const KafkaProducer> KafkaProducers::current() const {
  MutexLock lock(mutex_);
  return current_;
}

Result<std::shared_ptr<const KafkaProducer>> KafkaProducers::Make(const KafkaProducer::Limits& limits) {
  auto made = KafkaProducer::Create(options_, topic_, ActivityTopic(topic_), limits, deps_.log, events_);
  if (!made) return Fail(made.error());
  return std::shared_ptr<const KafkaProducer>(std::move(*made));
}

Status KafkaProducers::Renew(const KafkaProducer::Limits& limits) {
  constexpr milliseconds kFirst{1'000};
  constexpr milliseconds kLongest{30'000};
  const TimePoint now = deps_.clock.Steady();
  const bool soon = now - renewed_at_ < 2 * kLongest;
  renew_delay_ = soon ? std::min(std::max(kFirst, 2 * renew_delay_), kLongest) : kFirst;
  renewed_at_ = now;
  auto made = Make(limits);
  if (!made) return Fail(made.error());
  // A dead one reports nothing on its own; one that only has another limit finishes what it has.
  if (polled_->client().fatal()) polled_->GiveUp();
  retired_.push_back(polled_);
  polled_ = std::move(*made);
  MutexLock lock(mutex_);
  current_ = polled_;
  return {};
}

void KafkaProducers::BuryRetired(bool all) {
  std::erase_if(retired_, [&](const std::shared_ptr<const KafkaProducer>& old) {
    if (all || old->client().fatal()) old->GiveUp();
    old->Poll(milliseconds(0));
    return old.use_count() == 1 && old->queued() == 0;
  });
}

}  // namespace mi::stream
