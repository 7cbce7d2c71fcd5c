// The reader of an empty catalogue. Tests override what they need.
#pragma once

#include <functional>
#include <span>

#include "store/ports.h"

namespace mi::store {

class EmptyReader : public CatalogReader {
 public:
  Result<CatalogState> State() override { return CatalogState{}; }
  Result<uint64_t> CountSeries(uint64_t) override { return 0; }
  Status ReadSeries(uint64_t, const std::function<bool(const StoredSeries&)>&) override { return {}; }
  Status ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t)>&) override { return {}; }
  Status ReadSeriesIn(std::span<const IdRange>, const std::function<bool(const StoredSeries&)>&) override { return {}; }
  Result<uint64_t> ReadSeenChanges(uint64_t, const std::function<void(const SeenUpdate&)>&) override { return 0; }
  Status ReadMetadata(const std::function<bool(const StoredMetadata&)>&) override { return {}; }
};

}  // namespace mi::store
