#include "store/sqlite_catalog.h"

#include "base/format.h"
#include "sqlite/database.h"
#include "store/sqlite_catalog_reader.h"
#include "store/sqlite_schema.h"
#include "store/sqlite_series_store.h"

namespace mi::store {
namespace {

Result<sqlite::Database> OpenDatabase(const SqliteCatalogOptions& options, bool read_only, uint64_t cache_bytes) {
  Result<sqlite::Database> database =
      sqlite::Database::Open(options.path, {.read_only = read_only,
                                            .synchronous = options.synchronous,
                                            .vfs = options.vfs,
                                            .busy_timeout_ms = options.busy_timeout_ms});
  if (!database) return database;
  // A negative cache size is in KiB. The log's file shrinks to the limit when it is begun anew.
  const std::string pragmas = format("PRAGMA cache_size=-{}; PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit={}",
                                     cache_bytes / 1024, options.checkpoint_wal_bytes);
  if (Status s = database->Exec(pragmas); !s) return Fail(s.error());
  return database;
}

Status CheckSameCatalog(const sqlite::Database& database, const std::string& found, const std::string& expected) {
  if (found == expected) return {};
  return Fail(Errc::kCorrupt, format("{} was replaced while it was in use: it is catalogue {} now, and was {}: restart",
                                     database.path(), found, expected));
}

}  // namespace

Result<SqliteCatalog> SqliteCatalog::Open(SqliteCatalogOptions options) {
  if (options.synchronous != "full" && options.synchronous != "normal" && options.synchronous != "extra") {
    return Fail(Errc::kInvalid,
                format("sqlite.synchronous is \"{}\": full, normal and extra are allowed, since without "
                       "syncing a power cut can tear the catalogue",
                       options.synchronous));
  }
  Result<sqlite::Database> database = OpenDatabase(options, false, options.page_cache_bytes);
  if (!database) return Fail(database.error());
  Result<std::string> uuid = EnsureSqliteSchema(*database, options.secret_check);
  if (!uuid) return Fail(uuid.error());
  return SqliteCatalog(std::move(options), *std::move(uuid));
}

Result<std::unique_ptr<SeriesStore>> SqliteCatalog::OpenStore() const {
  Result<sqlite::Database> database = OpenDatabase(options_, false, options_.page_cache_bytes);
  if (!database) return Fail(database.error());
  Result<std::string> uuid = CheckSqliteSchema(*database, options_.secret_check);
  if (!uuid) return Fail(uuid.error());
  if (Status s = CheckSameCatalog(*database, *uuid, uuid_); !s) return Fail(s.error());
  return SqliteSeriesStore::Create(*std::move(database), {.dictionary_bytes = options_.dictionary_bytes,
                                                          .checkpoint_wal_bytes = options_.checkpoint_wal_bytes,
                                                          .max_wal_bytes = options_.max_wal_bytes});
}

Result<std::unique_ptr<CatalogReader>> SqliteCatalog::OpenReader() const {
  Result<sqlite::Database> database = OpenDatabase(options_, true, options_.page_cache_bytes / 10);
  if (!database) return Fail(database.error());
  Result<std::string> uuid = CheckSqliteSchema(*database, options_.secret_check);
  if (!uuid) return Fail(uuid.error());
  if (Status s = CheckSameCatalog(*database, *uuid, uuid_); !s) return Fail(s.error());
  return SqliteCatalogReader::Create(*std::move(database));
}

}  // namespace mi::store
