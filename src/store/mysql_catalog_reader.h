// CatalogReader over MySQL and MariaDB: pages in the order of a key, each a statement of its own. No page holds locks
// or an old view of the tables while its visitor is at work.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "store/mysql_pool.h"
#include "store/ports.h"

namespace mi::store {

// Threads: confined to one thread. A visitor may use other connections of the pool, not this reader.
class MysqlCatalogReader final : public CatalogReader {
 public:
  explicit MysqlCatalogReader(std::shared_ptr<MysqlPool> pool) : pool_(std::move(pool)) {}

  Result<CatalogState> State() override;
  Result<uint64_t> CountSeries(uint64_t up_to_id) override;
  Status ReadSeries(uint64_t after_id, const std::function<bool(const StoredSeries&)>& visit) override;
  Status ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t)>& visit) override;
  Status ReadSeriesIn(std::span<const IdRange> ranges, const std::function<bool(const StoredSeries&)>& visit) override;
  // The mark is the greatest `changed` that was read, not this server's clock: on a replica that lags, rows appear that
  // carry the primary's of a while ago. Looks back from it by the longest transaction: what was written before the mark
  // may have been committed after the last call.
  Result<uint64_t> ReadSeenChanges(uint64_t since, const std::function<void(const SeenUpdate&)>& visit) override;
  Status ReadMetadata(const std::function<bool(const StoredMetadata&)>& visit) override;

 private:
  // After a call above whose mark nothing was: what the rows that it looked back on add up to.
  struct Quiet {
    uint64_t mark;
    uint64_t sum;
    friend bool operator==(const Quiet&, const Quiet&) = default;
  };

  Result<uint64_t> SumOfChanged(MysqlConnection& connection, uint64_t from, uint64_t to);
  Status ReadChanged(MysqlConnection& connection, uint64_t from, uint64_t to,
                     const std::function<void(const SeenUpdate&)>& visit);
  // Runs `sql`, a SELECT of what follows `after` (the key stands in its first column) and lies in `ranges`, if it asks
  // for any, page by page. Gives whether the visitor wants more.
  Result<bool> ReadPages(std::string_view sql, uint64_t after, std::span<const IdRange> ranges,
                         const std::function<Result<bool>(const MysqlStatement& row)>& visit);

  const std::shared_ptr<MysqlPool> pool_;
  std::optional<Quiet> quiet_;
};

}  // namespace mi::store
