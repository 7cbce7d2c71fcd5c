// OpenTSDB points: an accepted point has canonical labels within the limits, and its own JSON reads the same again.
#include <cstdlib>
#include <string_view>

#include "codec/opentsdb.h"
#include "model/labels.h"

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const mi::codec::SeriesLimits limits{
      .max_series_bytes = 500, .max_labels = 8, .max_name_bytes = 50, .max_value_bytes = 90};
  const auto points = mi::codec::ReadOpenTsdb(text, limits);
  if (!points) return 0;
  for (const mi::codec::OpenTsdbPoint& point : *points) {
    Check(point.fault.empty() != point.canonical.empty());
    Check(point.fault.empty() == (point.refusal == mi::codec::Refusal::kNone));
    if (!point.fault.empty()) continue;
    Check(mi::model::IsCanonical(point.canonical));
    Check(point.canonical.size() <= limits.max_series_bytes);
    const mi::model::LabelsView labels(point.canonical);
    Check(!labels.metric_name().empty() && labels.CountLabels() <= limits.max_labels);
    for (const mi::model::Label& label : labels) {
      Check(mi::model::IsValidUtf8(label.name) && mi::model::IsValidUtf8(label.value));
    }
    const auto again = mi::codec::ReadOpenTsdb(point.json, limits);
    Check(again && again->size() == 1 && again->front().canonical == point.canonical);
  }
  return 0;
}
