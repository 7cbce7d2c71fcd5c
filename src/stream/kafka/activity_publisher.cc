#include "stream/kafka/activity_publisher.h"

#include <algorithm>
#include <span>
#include <utility>

#include "codec/kafka_record.h"
#include "stream/deps.h"

namespace mi::stream {
namespace {

constexpr size_t kMaxRecordFingerprints = 16'384;
constexpr size_t kRecordOverhead = 500;  // everything in a record except the fingerprints, rounded up

}  // namespace

KafkaActivityPublisher::KafkaActivityPublisher(const KafkaPublisherOptions& options, telemetry::Metrics& metrics)
    : delay_(options.activity_delay),
      max_fingerprints_(options.max_activity_fingerprints),
      window_s_(static_cast<uint32_t>(options.activity_interval.count())),
      secret_check_(model::SecretCheck(options.kafka.identity_secret)),
      dropped_(ActivityDropped(metrics)) {}

// The bound is reserved before the lock is taken, and given back if it does not hold. So outstanding_ never counts less
// than what is collected or in flight. Two batches that compete for the last room may both be dropped. Each fingerprint
// is settled once: here, or by the OnDelivery of its record.
void KafkaActivityPublisher::Add(const model::ActivityBatch& batch, TimePoint now) {
  const size_t count = batch.fingerprints.size();
  if (count == 0) return;
  if (outstanding_.fetch_add(count) + count > max_fingerprints_) return Settle(count, false);
  MutexLock lock(mutex_);
  if (collected_.fingerprints.empty()) {
    since_ = now;
    collected_.seen_at_ms = batch.seen_at_ms;
  }
  collected_.fingerprints.insert(collected_.fingerprints.end(), batch.fingerprints.begin(), batch.fingerprints.end());
}

std::vector<std::string> KafkaActivityPublisher::TakeRecords(TimePoint now, bool at_once, size_t max_record_bytes) {
  model::ActivityBatch batch;
  {
    MutexLock lock(mutex_);
    if (!at_once && now - since_ < delay_ && collected_.fingerprints.size() < kMaxRecordFingerprints) return {};
    batch = std::exchange(collected_, {});
  }
  const size_t fits =
      std::min(kMaxRecordFingerprints, (max_record_bytes - kRecordOverhead) / sizeof(model::Fingerprint));
  std::vector<std::string> records;
  for (std::span<const model::Fingerprint> left = batch.fingerprints; !left.empty();) {
    const auto part = left.first(std::min(left.size(), fits));
    left = left.subspan(part.size());
    records.push_back(codec::EncodeActivityRecord({
        .window_s = window_s_,
        .seen_at_s = static_cast<uint64_t>(batch.seen_at_ms / 1'000),
        .secret_check = secret_check_,
        .fingerprints = part,
    }));
  }
  return records;
}

void KafkaActivityPublisher::OnDelivery(size_t bytes, bool acknowledged) {
  Settle((bytes - codec::kActivityHeaderBytes) / sizeof(model::Fingerprint), acknowledged);
}

void KafkaActivityPublisher::Settle(size_t fingerprints, bool sent) {
  if (!sent) dropped_.Add(static_cast<double>(fingerprints));
  outstanding_ -= fingerprints;
}

}  // namespace mi::stream
