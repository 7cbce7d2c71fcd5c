// Makes the records of the activity topic. Collects what many requests report within a moment, so that they share a
// record; drops and counts what does not fit or cannot be sent. Nothing waits for activity.
//
// Threads: Add, SetIdentitySecret and empty are safe; the others are called by the publisher's polling thread only.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "model/series_batch.h"
#include "stream/kafka/options.h"
#include "telemetry/metrics.h"

namespace mi::stream {

class KafkaActivityPublisher {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  KafkaActivityPublisher(const KafkaPublisherOptions& options, telemetry::Metrics& metrics);

  void Add(const model::ActivityBatch& batch, TimePoint now) EXCLUDES(mutex_);
  // What is collected with the secret before is sent as well, and the store does not find it.
  void SetIdentitySecret(const std::string& identity_secret) { secret_check_ = model::SecretCheck(identity_secret); }
  // Whether nothing is collected or in flight.
  bool empty() const { return outstanding_ == 0; }

  // Removes what is due, as records of at most `max_record_bytes`. `at_once`: does not wait for more. Each record must
  // be reported to OnDelivery.
  std::vector<std::string> TakeRecords(TimePoint now, bool at_once, size_t max_record_bytes) EXCLUDES(mutex_);
  // A record of `bytes` was acknowledged or given up.
  void OnDelivery(size_t bytes, bool acknowledged);

 private:
  void Settle(size_t fingerprints, bool sent);

  const std::chrono::milliseconds delay_;
  const size_t max_fingerprints_;
  const uint32_t window_s_;
  std::atomic<uint64_t> secret_check_;
  telemetry::Counter& dropped_;

  std::atomic<size_t> outstanding_ = 0;  // fingerprints that are collected or in flight
  Mutex mutex_;
  model::ActivityBatch collected_ GUARDED_BY(mutex_);
  TimePoint since_ GUARDED_BY(mutex_);  // when the first of them was added
};

}  // namespace mi::stream
