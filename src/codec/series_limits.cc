#include "codec/series_limits.h"

namespace mi::codec {

std::string_view ToString(Refusal refusal) {
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
