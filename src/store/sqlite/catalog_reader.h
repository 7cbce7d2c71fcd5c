// CatalogReader over SQLite. Reads in slices of ids, each in a transaction of its own, so that a long reading does not
// keep the WAL from shrinking.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "sqlite/database.h"
#include "store/ports.h"

namespace mi::store {

// Threads: confined to one thread. A visitor may use other connections, but not this reader.
class SqliteCatalogReader final : public CatalogReader {
 public:
  static Result<std::unique_ptr<CatalogReader>> Create(sqlite::Database database);

  Result<CatalogState> State() override;
  Result<uint64_t> CountSeries(uint64_t up_to_id) override;
  Status ReadSeries(uint64_t after_id, const std::function<bool(const StoredSeries&)>& visit) override;
  Status ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t)>& visit) override;
  Status ReadSeriesIn(std::span<const IdRange> ranges, const std::function<bool(const StoredSeries&)>& visit) override;
  // Visits every series each time: a process over SQLite contains its index, which tells it directly.
  Result<uint64_t> ReadSeenChanges(uint64_t since, const std::function<void(const SeenUpdate&)>& visit) override;
  Status ReadMetadata(const std::function<bool(const StoredMetadata&)>& visit) override;

 private:
  explicit SqliteCatalogReader(sqlite::Database database) : database_(std::move(database)) {}
  // Returns whether the visitor wants more.
  Result<bool> ReadSeriesUpTo(uint64_t after_id, uint64_t last_id,
                              const std::function<bool(const StoredSeries&)>& visit);

  sqlite::Database database_;
  sqlite::Statement state_, count_, series_, seen_, fingerprints_, metadata_;
};

}  // namespace mi::store
