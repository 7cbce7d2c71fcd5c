// A reader that says so when the database behind it became another catalogue: what it gives then does not go with what
// it gave before.
#pragma once

#include <memory>
#include <utility>

#include "base/format.h"
#include "store/mysql_pool.h"
#include "store/ports.h"

namespace mi::store {

// Errors: kUnavailable, once a change, besides those of the reader within; visits have been made by then, perhaps of
// the new catalogue. Threads: as the reader within.
class MysqlRecognisingReader final : public CatalogReader {
 public:
  MysqlRecognisingReader(std::shared_ptr<MysqlPool> pool, std::unique_ptr<CatalogReader> inner)
      : pool_(std::move(pool)), inner_(std::move(inner)), replaced_(pool_->replaced()) {}

  Result<CatalogState> State() override { return Recognised(inner_->State()); }
  Result<uint64_t> CountSeries(uint64_t up_to_id) override { return Recognised(inner_->CountSeries(up_to_id)); }
  Status ReadSeries(uint64_t after_id, const std::function<bool(const StoredSeries&)>& visit) override {
    return Recognised(inner_->ReadSeries(after_id, visit));
  }
  Status ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t last_seen_ms)>& visit) override {
    return Recognised(inner_->ReadFingerprints(visit));
  }
  Status ReadSeriesIn(std::span<const IdRange> ranges, const std::function<bool(const StoredSeries&)>& visit) override {
    return Recognised(inner_->ReadSeriesIn(ranges, visit));
  }
  Result<uint64_t> ReadSeenChanges(uint64_t since, const std::function<void(const SeenUpdate&)>& visit) override {
    return Recognised(inner_->ReadSeenChanges(since, visit));
  }
  Status ReadMetadata(const std::function<bool(const StoredMetadata&)>& visit) override {
    return Recognised(inner_->ReadMetadata(visit));
  }

 private:
  template <typename T>
  Result<T> Recognised(Result<T> read) {
    const uint64_t replaced = pool_->replaced();
    if (std::exchange(replaced_, replaced) == replaced) return read;
    return Fail(Errc::kUnavailable,
                format("{}: another catalogue took the place of the one that was read", AddressOf(pool_->options())));
  }

  const std::shared_ptr<MysqlPool> pool_;
  const std::unique_ptr<CatalogReader> inner_;
  uint64_t replaced_;
};

}  // namespace mi::store
