// Series and metadata as records of the series topic, and activity as records of the activity topic
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

// The most canonical label bytes of a record. The receiver's limits are below it with any setting that fits the default
// message size of a broker. Writers and readers refuse a larger series.
inline constexpr size_t kMaxRecordSeriesBytes = 1 << 20;
inline constexpr size_t kMaxRecordLabels = 4'096;

// Key and value of a record. Reuse it, so that nothing is allocated.
struct KafkaRecordText {
  std::string key;
  std::string value;
};

// Overwrites `record`. The labels must be UTF-8; the receiver guarantees that. kTooLarge: above
// kMaxRecordSeriesBytes.
Status EncodeSeriesRecord(const model::Tenant& tenant, int64_t seen_at_ms, model::LabelsView labels,
                          KafkaRecordText& record);
void EncodeMetadataRecord(const model::Tenant& tenant, int64_t seen_at_ms, const model::MetricMetadata& metadata,
                          KafkaRecordText& record);

struct KafkaRecord {
  model::Tenant tenant;
  int64_t seen_at_ms = 0;
  model::Fingerprint fingerprint;  // computed from the labels; key and content are ignored
  model::Labels labels;            // empty if the record is metadata
  std::optional<model::MetricMetadata> metadata;
};

// Threads: confined to one; keeps its buffers from record to record.
class KafkaRecordDecoder {
 public:
  explicit KafkaRecordDecoder(std::string identity_secret);
  ~KafkaRecordDecoder();
  KafkaRecordDecoder(const KafkaRecordDecoder&) = delete;
  KafkaRecordDecoder& operator=(const KafkaRecordDecoder&) = delete;

  // `record_time_ms` is used if the value has no valid "ts". kCorrupt: not a series record; the message says why.
  Result<KafkaRecord> Decode(std::string_view value, int64_t record_time_ms);

 private:
  class Parser;

  const model::Fingerprinter& FingerprinterOf(const model::Tenant& tenant);

  const std::string identity_secret_;
  std::map<model::Tenant, model::Fingerprinter> fingerprinters_;
  std::unique_ptr<Parser> parser_;
};

// A record of the activity topic: series whose first sample in their window of `window_s` seconds has arrived.
struct ActivityRecord {
  uint32_t window_s = 0;
  uint64_t seen_at_s = 0;  // when, since the epoch. Each series has its own phase, so this begins its window
  uint64_t secret_check = 0;
  std::span<const model::Fingerprint> fingerprints;
};

inline constexpr size_t kActivityHeaderBytes = 21;

std::string EncodeActivityRecord(const ActivityRecord& record);
// Fills `fingerprints`, which the result's span refers to. kCorrupt: another version, or truncated.
Result<ActivityRecord> DecodeActivityRecord(std::string_view bytes, std::vector<model::Fingerprint>& fingerprints);

}  // namespace mi::codec
