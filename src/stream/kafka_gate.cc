#include "stream/kafka_gate.h"

namespace mi::stream {
namespace {

constexpr std::chrono::seconds kDeniedFor{30};
constexpr std::chrono::seconds kQuiet{10};

}  // namespace

KafkaGate::KafkaGate(std::string topic, const KafkaDeps& deps, telemetry::Gauge& up)
    : topic_(std::move(topic)), deps_(deps), up_(up) {
  closed_.emplace(Errc::kUnavailable, "Kafka: not connected yet (metric_store.producer.hosts)");
  up_.Set(0);
}

std::optional<Error> KafkaGate::closed() const {
  MutexLock lock(mutex_);
  return closed_;
}

Status KafkaGate::Health() const {
  MutexLock lock(mutex_);
  if (closed_) return Fail(*closed_);
  if (denied_ && deps_.clock.Steady() < denied_->second) return Fail(denied_->first);
  return {};
}

void KafkaGate::Open() {
  bool was_closed = false;
  {
    MutexLock lock(mutex_);
    was_closed = closed_.has_value();
    closed_.reset();
  }
  up_.Set(1);
  if (was_closed) deps_.log.Info("kafka: publishing to topic {}", topic_);
}

void KafkaGate::Close(const Error& why) {
  bool was_open = false;
  {
    MutexLock lock(mutex_);
    was_open = !closed_;
    closed_ = why;
  }
  up_.Set(0);
  // One outage has many reasons, one after the other.
  const TimePoint now = deps_.clock.Steady();
  if (!was_open && (why.message() == logged_ || now < logged_at_ + kQuiet)) return;
  logged_ = why.message();
  logged_at_ = now;
  deps_.log.Warn("kafka: nothing can be published: {}", logged_);
}

void KafkaGate::Deny(const Error& why) {
  MutexLock lock(mutex_);
  denied_.emplace(why, deps_.clock.Steady() + kDeniedFor);
}

}  // namespace mi::stream
