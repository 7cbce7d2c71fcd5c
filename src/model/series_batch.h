// Series on their way from a request to the store: one tenant, one moment, one arena.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "model/fingerprint.h"
#include "model/labels.h"
#include "model/tenant.h"

namespace mi::model {

// The types of metric families: the lower-case words of the exposition format, indexed by their number in both versions
// of remote write. An unknown number means the first.
inline constexpr std::array<std::string_view, 8> kMetricTypes = {"unknown",        "counter", "gauge", "histogram",
                                                                 "gaugehistogram", "summary", "info",  "stateset"};

// Metadata of a metric family. `type`: one of kMetricTypes.
struct MetricMetadata {
  std::string family;
  std::string type;
  std::string help;
  std::string unit;
  friend bool operator==(const MetricMetadata&, const MetricMetadata&) = default;
};

// Decides which of several statements about one family stands: the one with the greatest rank. That is the latest one,
// and among statements of the same moment the one with the greatest type, help and unit (by bytes). So replays lead to
// the same statement in whatever order they come. Borrows the metadata.
inline auto MetadataRank(int64_t said_at_ms, const MetricMetadata& metadata) {
  return std::tuple<int64_t, std::string_view, std::string_view, std::string_view>(said_at_ms, metadata.type,
                                                                                   metadata.help, metadata.unit);
}

// Borrowed from its batch.
struct Series {
  Fingerprint fingerprint;
  LabelsView labels;
};

// Threads: compatible. Views that it returns are valid until the next Add.
class SeriesBatch {
 public:
  SeriesBatch() = default;
  // `seen_at_ms`: when the receiver got the series, in ms since the epoch.
  SeriesBatch(Tenant tenant, int64_t seen_at_ms) : tenant_(std::move(tenant)), seen_at_ms_(seen_at_ms) {}

  // Makes room for `series` more series, which have `bytes` bytes of canonical labels in all.
  void Reserve(size_t series, size_t bytes) {
    entries_.reserve(entries_.size() + series);
    bytes_.reserve(bytes_.size() + bytes);
  }
  // Requires: IsCanonical(canonical). `fingerprint` is the fingerprint of those bytes.
  void Add(Fingerprint fingerprint, std::string_view canonical) {
    assert(IsCanonical(canonical));
    bytes_.append(canonical);
    entries_.push_back({fingerprint, bytes_.size()});
  }
  void AddMetadata(MetricMetadata metadata) { metadata_.push_back(std::move(metadata)); }

  const Tenant& tenant() const { return tenant_; }
  int64_t seen_at_ms() const { return seen_at_ms_; }
  size_t size() const { return entries_.size(); }  // number of series
  bool has_series() const { return !entries_.empty(); }
  bool empty() const { return !has_series() && metadata_.empty(); }
  size_t byte_size() const { return bytes_.size(); }
  Series operator[](size_t i) const {
    const size_t begin = i == 0 ? 0 : entries_[i - 1].end;
    return {entries_[i].fingerprint, LabelsView(std::string_view(bytes_).substr(begin, entries_[i].end - begin))};
  }
  const std::vector<MetricMetadata>& metadata() const { return metadata_; }

 private:
  struct Entry {
    Fingerprint fingerprint;
    size_t end;  // in bytes_; an entry begins at the end of the previous one
  };

  Tenant tenant_;
  int64_t seen_at_ms_ = 0;
  std::string bytes_;
  std::vector<Entry> entries_;
  std::vector<MetricMetadata> metadata_;
};

// Series whose first sample in their activity window has arrived (ARCHITECTURE.md, "The seen table"). This is a
// hint: nothing waits for it, and applying it twice changes nothing (last_seen = max(last_seen, seen_at_ms)).
struct ActivityBatch {
  int64_t seen_at_ms = 0;
  std::vector<Fingerprint> fingerprints;
};

}  // namespace mi::model
