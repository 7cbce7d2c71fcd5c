// The slow path of the receiver: series that the seen table does not know, and series that are refused.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "codec/remote_write.h"
#include "codec/series_limits.h"
#include "model/labels.h"

namespace mi::codec {

// Decodes, checks and sorts the labels of one series.
// Threads: confined to one. Reuse it: it keeps its buffers.
class Canonicaliser {
 public:
  struct Outcome {
    Refusal refusal = Refusal::kNone;
    std::string_view canonical;  // valid until the next call, and as long as the decoded request
    size_t examined_bytes = 0;   // of written-out labels, as far as they were examined; also of a refused series
  };

  // Also for series without items: their labels are checked like all others.
  Outcome operator()(const RequestScan& scan, const ScannedSeries& series, const SeriesLimits& limits);

  // One line for the sender: which series, and the limit, value and option. Requires: the series is refused, by the
  // walk or by the call above with the same limits.
  std::string Explain(const RequestScan& scan, const ScannedSeries& series, const SeriesLimits& limits);

 private:
  Refusal Collect(const RequestScan& scan, const ScannedSeries& series, const SeriesLimits& limits);
  Refusal CollectV1(const ScannedSeries& series, const SeriesLimits& limits);
  Refusal CollectV2(const RequestScan& scan, const ScannedSeries& series, const SeriesLimits& limits);
  Refusal Take(model::Label label, const SeriesLimits& limits);
  Refusal Sort();
  Refusal Refuse(Refusal refusal, std::string_view name, size_t size = 0);
  std::string Reason(const RequestScan& scan, const ScannedSeries& series, Refusal refusal,
                     const SeriesLimits& limits) const;

  std::vector<model::Label> labels_;
  std::string bytes_;
  bool sent_canonically_ = false;
  size_t valued_ = 0;  // how many of labels_ have a value
  size_t canonical_size_ = 0;
  size_t examined_bytes_ = 0;
  std::string_view refused_name_;  // the label name and size of the last refusal, for Explain
  size_t refused_size_ = 0;
};

}  // namespace mi::codec
