// Reads the catalogue until the service is to stop: a long load must not hold up a short stop.
#pragma once

#include <atomic>

#include "store/ports.h"

namespace mi::catalog {

// Threads: as the reader behind it; Stop() is safe from any. The reader outlives it.
class StoppableReader final : public store::CatalogReader {
 public:
  explicit StoppableReader(store::CatalogReader& reader) : reader_(reader) {}

  // Every reading ends early, as if there was no more.
  void Stop() { stopped_ = true; }
  bool stopped() const { return stopped_; }

  Result<store::CatalogState> State() override { return reader_.State(); }
  Result<uint64_t> CountSeries(uint64_t up_to_id) override { return reader_.CountSeries(up_to_id); }
  Status ReadSeries(uint64_t after_id, const std::function<bool(const store::StoredSeries&)>& visit) override {
    return reader_.ReadSeries(after_id, [&](const store::StoredSeries& series) { return !stopped_ && visit(series); });
  }
  Status ReadSeriesIn(std::span<const store::IdRange> ranges,
                      const std::function<bool(const store::StoredSeries&)>& visit) override {
    return reader_.ReadSeriesIn(ranges, [&](const store::StoredSeries& series) { return !stopped_ && visit(series); });
  }
  Result<uint64_t> ReadSeenChanges(uint64_t since,
                                   const std::function<void(const store::SeenUpdate&)>& visit) override {
    return reader_.ReadSeenChanges(since, visit);
  }
  Status ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t)>& visit) override {
    return reader_.ReadFingerprints([&](model::Fingerprint fingerprint, int64_t last_seen_ms) {
      return !stopped_ && visit(fingerprint, last_seen_ms);
    });
  }
  Status ReadMetadata(const std::function<bool(const store::StoredMetadata&)>& visit) override {
    return reader_.ReadMetadata([&](const store::StoredMetadata& metadata) { return !stopped_ && visit(metadata); });
  }

 private:
  store::CatalogReader& reader_;
  std::atomic<bool> stopped_ = false;
};

}  // namespace mi::catalog
