// Whether Kafka takes what is published, and why not: what Publish refuses with, what /ready shows, and what the log
// says once an outage.
//
// Threads: safe; Open and Close are the polling thread's.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "base/result.h"
#include "stream/kafka.h"
#include "telemetry/metrics.h"

namespace mi::stream {

class KafkaGate {
 public:
  // Closed at first. `topic` is for the log; `up` shows whether it is open.
  KafkaGate(std::string topic, const KafkaDeps& deps, telemetry::Gauge& up);

  // Why nothing is taken.
  std::optional<Error> closed() const EXCLUDES(mutex_);
  // As that, and for a while why something was refused that a person has to allow.
  Status Health() const EXCLUDES(mutex_);

  void Open() EXCLUDES(mutex_);
  void Close(const Error& why) EXCLUDES(mutex_);
  // Something was refused; other things may be taken all the same.
  void Deny(const Error& why) EXCLUDES(mutex_);

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  const std::string topic_;
  const KafkaDeps deps_;
  telemetry::Gauge& up_;
  std::string logged_;  // why it is closed
  TimePoint logged_at_;

  mutable Mutex mutex_;
  std::optional<Error> closed_ GUARDED_BY(mutex_);
  std::optional<std::pair<Error, TimePoint>> denied_ GUARDED_BY(mutex_);  // for Health() until then
};

}  // namespace mi::stream
