// The limits of one series, and the reasons for which one is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mi::codec {

// Options: receive.<member>.
struct SeriesLimits {
  size_t max_series_bytes = 65536;  // canonical label bytes of a series
  size_t max_labels = 128;          // labels with a value, including __name__; as many without a value are allowed
  size_t max_name_bytes = 256;
  size_t max_value_bytes = 4096;
  bool require_metric_name = true;

  bool operator==(const SeriesLimits&) const = default;
};

// Why one series, or one item of it, is refused while the rest of its request is accepted.
enum class Refusal : uint8_t {
  kNone,
  kMalformedLabels,  // a label message that is not protobuf
  kEmptyName,
  kDuplicateName,
  kInvalidUtf8,
  kNoMetricName,
  kTooManyLabels,
  kNameTooLong,
  kValueTooLong,
  kSeriesTooLarge,
  kRequestTooLarge,  // the new series of a request together; checked by the receiver
  kBadReference,     // 2.0: an odd number of references, or one beyond the symbols
  kBadHistogram,     // a native histogram that contradicts itself
  kMalformedPoint,   // OpenTSDB: not a point
};
inline constexpr size_t kRefusals = static_cast<size_t>(Refusal::kMalformedPoint) + 1;

// The label `reason` of receive_refused_series_total.
constexpr std::string_view ToString(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone: return "none";
    case Refusal::kMalformedLabels: return "malformed_labels";
    case Refusal::kEmptyName: return "empty_label_name";
    case Refusal::kDuplicateName: return "duplicate_label_name";
    case Refusal::kInvalidUtf8: return "invalid_utf8";
    case Refusal::kNoMetricName: return "no_metric_name";
    case Refusal::kTooManyLabels: return "too_many_labels";
    case Refusal::kNameTooLong: return "label_name_too_long";
    case Refusal::kValueTooLong: return "label_value_too_long";
    case Refusal::kSeriesTooLarge: return "series_too_large";
    case Refusal::kRequestTooLarge: return "request_too_large";
    case Refusal::kBadReference: return "bad_reference";
    case Refusal::kBadHistogram: return "bad_histogram";
    case Refusal::kMalformedPoint: return "malformed_point";
  }
  return "unknown";
}

}  // namespace mi::codec
