// Series and metadata as records of the Kafka topic, and sightings as records of the activity topic
// (docs/formats/kafka.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/series_batch.h"

namespace mi::codec {

// What a record may hold at most, in canonical label bytes. Our own receiver stays below it with any setting that a
// broker's default message size allows; above it a series is refused on both sides.
inline constexpr size_t kMaxRecordSeriesBytes = 1 << 20;
inline constexpr size_t kMaxRecordLabels = 4'096;

// Key and value of a record; kept from record to record, so that nothing is allocated.
struct KafkaRecordText {
  std::string key;
  std::string value;
};

// Overwrites `record`. Requires: labels and metadata are UTF-8, as the receiver sees to.
// kTooLarge: more than a reader takes.
Status EncodeSeriesRecord(const model::Tenant& tenant, int64_t seen_at_ms, model::LabelsView labels,
                          KafkaRecordText& record);
void EncodeMetadataRecord(const model::Tenant& tenant, int64_t seen_at_ms, const model::MetricMetadata& metadata,
                          KafkaRecordText& record);

struct KafkaRecord {
  model::Tenant tenant;
  int64_t seen_at_ms = 0;
  model::Fingerprint fingerprint;  // of the labels, whatever key and content say
  model::Labels labels;            // empty when it is metadata
  std::optional<model::MetricMetadata> metadata;
};

// Threads: confined to one; keeps its buffers from record to record.
class KafkaRecordDecoder {
 public:
  explicit KafkaRecordDecoder(std::string identity_secret);
  ~KafkaRecordDecoder();
  KafkaRecordDecoder(const KafkaRecordDecoder&) = delete;
  KafkaRecordDecoder& operator=(const KafkaRecordDecoder&) = delete;

  // `record_time_ms` counts where the value has no "ts". kCorrupt: these bytes are no series; the message says why.
  Result<KafkaRecord> Decode(std::string_view value, int64_t record_time_ms);

 private:
  class Parser;

  const model::Fingerprinter& FingerprinterOf(const model::Tenant& tenant);

  const std::string identity_secret_;
  std::map<model::Tenant, model::Fingerprinter> fingerprinters_;
  std::unique_ptr<Parser> parser_;
};

// A record of the activity topic: whose first sample in a window of `window_s` seconds came when.
struct ActivityRecord {
  uint32_t window_s = 0;
  uint64_t seen_at_s = 0;  // since the epoch; where the window of these series begins, for they are phased one by one
  uint64_t secret_check = 0;
  std::span<const model::Fingerprint> fingerprints;
};

inline constexpr size_t kActivityHeaderBytes = 21;

std::string EncodeActivityRecord(const ActivityRecord& record);
// Fills `fingerprints`, which the result's span refers to. kCorrupt: another version, or cut short.
Result<ActivityRecord> DecodeActivityRecord(std::string_view bytes, std::vector<model::Fingerprint>& fingerprints);

}  // namespace mi::codec
