// What a series may be at most, and the reasons for which one is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mi::codec {

// Knobs: receive.<member>.
struct SeriesLimits {
  size_t max_series_bytes = 65536;  // canonical label bytes of a series
  size_t max_labels = 128;          // labels with a value, __name__ among them; as many may come without
  size_t max_name_bytes = 256;
  size_t max_value_bytes = 4096;
  bool require_metric_name = true;
};

// Why one series, or one item of it, is refused while the rest of its request stands.
enum class Refusal : uint8_t {
  kNone,
  kMalformedLabels,  // a label message that is no protobuf
  kEmptyName,
  kDuplicateName,
  kInvalidUtf8,
  kNoMetricName,
  kTooManyLabels,
  kNameTooLong,
  kValueTooLong,
  kSeriesTooLarge,
  kRequestTooLarge,  // the new series of a request together; said by the receiver
  kBadReference,     // 2.0: refs odd in number, or beyond the symbols
  kBadHistogram,     // a native histogram that contradicts itself
  kMalformedPoint,   // OpenTSDB: what stands there is no point
};
inline constexpr size_t kRefusals = static_cast<size_t>(Refusal::kMalformedPoint) + 1;

// The value of the label `reason` of receive_refused_series_total: "duplicate_label_name".
std::string_view ToString(Refusal refusal);

}  // namespace mi::codec
