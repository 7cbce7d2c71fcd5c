// The catalogue in one SQLite file: opens its writers and readers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "store/ports.h"

namespace mi::store {

struct SqliteCatalogOptions {
  std::string path;  // <app.data_dir>/catalog.db
  std::string synchronous =
      "full";                   // sqlite.synchronous: full, normal, extra. Not off: a power cut would tear the file
  std::string vfs;              // '' = SQLite's own; tests give one that loses what was not synced
  int busy_timeout_ms = 5'000;  // how long to wait for another process' write
  uint64_t secret_check = 0;    // model::SecretCheck(identity.secret)
  uint64_t dictionary_bytes = 64 << 20;        // ids of label names and values in a store's memory
  uint64_t page_cache_bytes = 32 << 20;        // a store's; readers take a tenth
  uint64_t checkpoint_wal_bytes = 64 << 20;    // a store checkpoints by itself when the log holds more
  uint64_t max_wal_bytes = uint64_t{4} << 30;  // a log that a reader pins may grow to this; then Apply is kOverloaded
};

// A value: names the file, holds no connection. Threads: compatible; the const members are safe.
class SqliteCatalog {
 public:
  // Makes the file and its tables when they are missing, migrates older ones, refuses what EnsureSqliteSchema refuses.
  static Result<SqliteCatalog> Open(SqliteCatalogOptions options);

  // Each opens a connection of its own; they do not depend on this object, nor on each other.
  Result<std::unique_ptr<SeriesStore>> OpenStore() const;
  Result<std::unique_ptr<CatalogReader>> OpenReader() const;

  const std::string& uuid() const { return uuid_; }

 private:
  SqliteCatalog(SqliteCatalogOptions options, std::string uuid)
      : options_(std::move(options)), uuid_(std::move(uuid)) {}
  SqliteCatalogOptions options_;
  std::string uuid_;
};

}  // namespace mi::store
