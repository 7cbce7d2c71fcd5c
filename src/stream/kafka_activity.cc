#include "stream/kafka_activity.h"

#include <algorithm>
#include <new>
#include <string>

#include "codec/kafka_record.h"

namespace mi::stream {
namespace {

constexpr size_t kMostFingerprints = 16'384;  // of a record
constexpr size_t kRoomForTheRest = 500;       // of a record's limit: all but the fingerprints

}  // namespace

KafkaActivity::KafkaActivity(const KafkaPublisherOptions& options, KafkaPublishMetrics& metrics)
    : window_s_(static_cast<uint32_t>(options.activity_interval.count())),
      secret_check_(model::SecretCheck(options.kafka.identity_secret)),
      metrics_(metrics),
      sightings_(options.activity_delay, kMostFingerprints, options.max_activity_fingerprints) {}

void KafkaActivity::Add(const model::ActivityBatch& batch, KafkaSightings::TimePoint now) {
  if (batch.fingerprints.empty() || sightings_.Add(batch, now)) return;
  metrics_.activity_dropped.Add(static_cast<double>(batch.fingerprints.size()));
}

bool KafkaActivity::Send(const KafkaProducer& producer, bool away, KafkaSightings::TimePoint now, bool at_once) {
  const model::ActivityBatch due = sightings_.TakeDue(now, at_once);
  if (due.fingerprints.empty()) return false;
  if (away) return Settle(due.fingerprints.size(), false);
  const size_t fits = (producer.limits().max_bytes - kRoomForTheRest) / sizeof(model::Fingerprint);
  std::span<const model::Fingerprint> left = due.fingerprints;
  bool last = false;
  while (!left.empty()) {
    const auto part = left.first(std::min({left.size(), kMostFingerprints, fits}));
    left = left.subspan(part.size());
    if (!SendOne(producer, due.seen_at_ms, part)) last = Settle(part.size(), false);
  }
  return last;
}

bool KafkaActivity::SendOne(const KafkaProducer& producer, int64_t seen_at_ms,
                            std::span<const model::Fingerprint> part) const try {
  const std::string bytes = codec::EncodeActivityRecord({
      .window_s = window_s_,
      .seen_at_s = static_cast<uint64_t>(seen_at_ms / 1'000),
      .secret_check = secret_check_,
      .fingerprints = part,
  });
  return producer.SendAside({.key = {}, .value = bytes}).has_value();
} catch (const std::bad_alloc&) {
  return false;
}

bool KafkaActivity::OnDelivery(const rd_kafka_message_t& record) {
  const size_t fingerprints = (record.len - codec::kActivityHeaderBytes) / sizeof(model::Fingerprint);
  return Settle(fingerprints, record.err == RD_KAFKA_RESP_ERR_NO_ERROR);
}

bool KafkaActivity::Settle(size_t fingerprints, bool sent) {
  if (!sent) metrics_.activity_dropped.Add(static_cast<double>(fingerprints));
  return sightings_.Settle(fingerprints);
}

}  // namespace mi::stream
