// The producer of the moment, and those before it that still have records under way.
//
// Threads: current() is safe; the rest is the polling thread's, but for Begin, which comes before it.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "stream/kafka_producer.h"

namespace mi::stream {

class KafkaProducers {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `events` outlives it, and may be called from Poll.
  KafkaProducers(const KafkaOptions& options, std::string topic, const KafkaDeps& deps, KafkaEvents& events)
      : options_(options), topic_(std::move(topic)), deps_(deps), events_(events) {}

  Status Begin();
  // Shared: who sends through it holds it meanwhile.
  std::shared_ptr<const KafkaProducer> current() const EXCLUDES(mutex_);

  const KafkaProducer& polled() const { return *polled_; }
  bool none_left() const { return retired_.empty() && polled_->queued() == 0; }
  // One that ends at once is not made again and again without a pause.
  bool may_renew() const { return deps_.clock.Steady() >= renewed_at_ + renew_delay_; }
  // Another takes its place; who holds the old one goes on with it.
  Status Renew(const KafkaProducer::Limits& limits) EXCLUDES(mutex_);
  // Serves the old ones' reports, and ends those that have no more; `all` gives up what they have.
  void BuryRetired(bool all);

 private:
  Result<std::shared_ptr<const KafkaProducer>> Make(const KafkaProducer::Limits& limits);

  const KafkaOptions options_;
  const std::string topic_;
  const KafkaDeps deps_;
  KafkaEvents& events_;
  std::shared_ptr<const KafkaProducer> polled_;
  std::vector<std::shared_ptr<const KafkaProducer>> retired_;
  TimePoint renewed_at_;
  std::chrono::milliseconds renew_delay_{0};

  mutable Mutex mutex_;
  std::shared_ptr<const KafkaProducer> current_ GUARDED_BY(mutex_);
};

}  // namespace mi::stream
