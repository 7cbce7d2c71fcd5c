// CatalogReader over MySQL and MariaDB. Reads pages in the order of a key, each with a statement of its own, so that a
// page holds no locks and no old view of the tables while its visitor works.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "store/mysql/pool.h"
#include "store/ports.h"

namespace mi::store {

// Threads: confined to one thread. A visitor may use other connections of the pool, but not this reader.
class MysqlCatalogReader final : public CatalogReader {
 public:
  explicit MysqlCatalogReader(std::shared_ptr<MysqlPool> pool) : pool_(std::move(pool)) {}

  Result<CatalogState> State() override;
  Result<uint64_t> CountSeries(uint64_t up_to_id) override;
  Status ReadSeries(uint64_t after_id, const std::function<bool(const StoredSeries&)>& visit) override;
  Status ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t)>& visit) override;
  Status ReadSeriesIn(std::span<const IdRange> ranges, const std::function<bool(const StoredSeries&)>& visit) override;
  Result<uint64_t> ReadSeenChanges(uint64_t since, const std::function<void(const SeenUpdate&)>& visit) override;
  Status ReadMetadata(const std::function<bool(const StoredMetadata&)>& visit) override;

 private:
  // The rows that a call looked back on when nothing was above its mark.
  struct QuietMark {
    uint64_t mark;
    uint64_t sum;  // see SumOfChanged
    friend bool operator==(const QuietMark&, const QuietMark&) = default;
  };

  const std::shared_ptr<MysqlPool> pool_;
  std::optional<QuietMark> quiet_;
};

}  // namespace mi::store
