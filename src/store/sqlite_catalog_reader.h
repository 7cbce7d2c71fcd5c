// CatalogReader over SQLite. Reads in slices of ids, each a transaction of its own: a long reading does not pin the
// WAL.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "sqlite/database.h"
#include "store/ports.h"

namespace mi::store {

// Threads: confined to one thread. A visitor may use other connections, not this reader.
class SqliteCatalogReader final : public CatalogReader {
 public:
  static Result<std::unique_ptr<CatalogReader>> Create(sqlite::Database database);

  Result<CatalogState> State() override;
  Result<uint64_t> CountSeries(uint64_t up_to_id) override;
  Status ReadSeries(uint64_t after_id, const std::function<bool(const StoredSeries&)>& visit) override;
  Status ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t)>& visit) override;
  Status ReadSeriesIn(std::span<const IdRange> ranges, const std::function<bool(const StoredSeries&)>& visit) override;
  // Every row each time: a process over SQLite has its index in itself and is told directly.
  Result<uint64_t> ReadSeenChanges(uint64_t since, const std::function<void(const SeenUpdate&)>& visit) override;
  Status ReadMetadata(const std::function<bool(const StoredMetadata&)>& visit) override;

 private:
  explicit SqliteCatalogReader(sqlite::Database database) : database_(std::move(database)) {}
  // Whether the visitor wants more.
  Result<bool> ReadSeriesUpTo(uint64_t after_id, uint64_t last_id,
                              const std::function<bool(const StoredSeries&)>& visit);

  sqlite::Database database_;
  sqlite::Statement state_;
  sqlite::Statement count_;
  sqlite::Statement series_;
  sqlite::Statement seen_;
  sqlite::Statement fingerprints_;
  sqlite::Statement metadata_;
};

}  // namespace mi::store
