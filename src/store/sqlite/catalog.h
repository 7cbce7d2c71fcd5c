// The catalogue in one SQLite file: opens its writers and readers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/fatal.h"
#include "base/result.h"
#include "sqlite/database.h"
#include "store/identity_secrets.h"
#include "store/ports.h"

namespace mi::store {

struct SqliteCatalogOptions {
  std::string path;                  // <app.data_dir>/catalog.db
  std::string synchronous = "full";  // sqlite.synchronous: full, normal, extra. "off" is refused
  std::string vfs;                   // '' = SQLite's own; tests use one that loses what was not synced
  int busy_timeout_ms = 5'000;       // how long to wait for a write of another process
  IdentitySecrets secrets;
  uint64_t dictionary_bytes = 64 << 20;        // per store: ids of label names and values in memory
  uint64_t page_cache_bytes = 32 << 20;        // per store; a reader has a tenth
  uint64_t checkpoint_wal_bytes = 64 << 20;    // a store makes a checkpoint by itself if the log is larger
  uint64_t max_wal_bytes = uint64_t{4} << 30;  // if a reader keeps the log from shrinking: then Apply is kOverloaded
};

// An error that SQLite or a check has found in the file (kCorrupt), with what a person can do about it.
Error DamagedCatalog(const Error& found);

// A value that names the file and has no connection. Threads: the const members are safe.
class SqliteCatalog {
 public:
  // Creates the file and its tables if they are missing, and migrates older ones. Refuses what EnsureSqliteSchema
  // refuses.
  static Result<SqliteCatalog> Open(SqliteCatalogOptions options);

  // Each opens its own connection. They depend neither on this object nor on each other.
  // Errors: kCorrupt if the file is another catalogue than at Open(). `fatal`: see SeriesStore.
  Result<std::unique_ptr<SeriesStore>> OpenStore(FatalHandler fatal) const;
  Result<std::unique_ptr<CatalogReader>> OpenReader() const;

  const std::string& uuid() const { return identity_.uuid; }
  // With which the fingerprints in it are made.
  const std::string& identity_secret() const { return identity_.secret; }

 private:
  SqliteCatalog(SqliteCatalogOptions options, CatalogIdentity identity)
      : options_(std::move(options)), identity_(std::move(identity)) {}
  // A connection to the same catalogue as at Open().
  Result<sqlite::Database> Connect(bool read_only, uint64_t cache_bytes) const;

  SqliteCatalogOptions options_;
  CatalogIdentity identity_;
};

}  // namespace mi::store
