// Kafka records: a record that decodes is canonical UTF-8 within the limits, and encodes to an equal record again.
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "codec/kafka_record.h"

namespace {

using namespace mi;

void Check(bool holds) {
  if (!holds) std::abort();
}

void TrySeries(std::string_view bytes) {
  static codec::KafkaRecordDecoder decoder("fuzz");
  const Result<codec::KafkaRecord> record = decoder.Decode(bytes, 1);
  if (!record) return;
  codec::KafkaRecordText text;
  if (record->metadata) {
    codec::EncodeMetadataRecord(record->tenant, record->seen_at_ms, *record->metadata, text);
  } else {
    Check(model::IsCanonical(record->labels.canonical()) && !record->labels.view().empty());
    for (const model::Label& label : record->labels.view()) {
      Check(model::IsValidUtf8(label.name) && model::IsValidUtf8(label.value));
    }
    Check(record->fingerprint == model::Fingerprinter("fuzz", record->tenant)(record->labels.canonical()));
    Check(codec::EncodeSeriesRecord(record->tenant, record->seen_at_ms, record->labels.view(), text).has_value());
  }
  const Result<codec::KafkaRecord> again = decoder.Decode(text.value, 2);
  Check(again.has_value() && again->tenant == record->tenant && again->seen_at_ms == record->seen_at_ms);
  Check(again->labels == record->labels && again->metadata == record->metadata);
}

void TryActivity(std::string_view bytes) {
  std::vector<model::Fingerprint> fingerprints;
  const Result<codec::ActivityRecord> record = codec::DecodeActivityRecord(bytes, fingerprints);
  if (record) Check(codec::EncodeActivityRecord(*record) == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  TrySeries(bytes);
  TryActivity(bytes);
  return 0;
}
