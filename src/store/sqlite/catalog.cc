#include "store/sqlite/catalog.h"

#include "base/format.h"
#include "store/sqlite/catalog_reader.h"
#include "store/sqlite/schema.h"
#include "store/sqlite/series_store.h"

namespace mi::store {
namespace {

Result<sqlite::Database> OpenDatabase(const SqliteCatalogOptions& options, bool read_only, uint64_t cache_bytes) {
  sqlite::Database database = TRY(sqlite::Database::Open(options.path, {.read_only = read_only,
                                                                        .wal = false,
                                                                        .synchronous = options.synchronous,
                                                                        .vfs = options.vfs,
                                                                        .busy_timeout_ms = options.busy_timeout_ms}));
  if (!read_only) {
    TRY(RefuseForeignSqlite(database));  // before anything is written, and WAL mode is written into the file
    // For a new file only. Rows are added at the end of the tables, so larger pages mean fewer of them in the WAL, in a
    // checkpoint and in the kernel: a fifth less CPU in the index thread than with SQLite's 4 KiB (docs/measured.md).
    TRY(database.Exec("PRAGMA page_size=16384"));
    TRY(database.Exec("PRAGMA journal_mode=WAL"));
  }
  // A negative cache size is in KiB. The log's file shrinks to the limit when SQLite starts it anew. With
  // secure_delete, Debian's default, each page is filled with zeros before it is used; deleted rows of a catalogue are
  // no secret.
  TRY(
      database.Exec(format("PRAGMA secure_delete=OFF; PRAGMA cache_size=-{}; PRAGMA temp_store=MEMORY; PRAGMA "
                           "cell_size_check=ON; PRAGMA journal_size_limit={}",
                           cache_bytes / 1024, options.checkpoint_wal_bytes)));
  return database;
}

// SQLite does not understand the store's own SQL: the text of a table in the file is damaged.
template <typename T>
Result<T> CorruptIfNotUnderstood(Result<T> opened) {
  if (opened || opened.error().code() != Errc::kInternal) return opened;
  return Fail(Errc::kCorrupt, opened.error().message());
}

}  // namespace

Error DamagedCatalog(const Error& found) {
  return {Errc::kCorrupt, format("the catalogue is damaged: {}. `metric-index check` shows more; `metric-index repair` "
                                 "keeps what is intact, and `metric-index restore FILE` puts a backup in its place",
                                 found.message())};
}

Result<SqliteCatalog> SqliteCatalog::Open(SqliteCatalogOptions options) {
  if (options.synchronous != "full" && options.synchronous != "normal" && options.synchronous != "extra") {
    return Fail(Errc::kInvalid,
                format("sqlite.synchronous is \"{}\": full, normal and extra are allowed, since without "
                       "syncing a power cut can tear the catalogue",
                       options.synchronous));
  }
  sqlite::Database database = TRY(OpenDatabase(options, false, options.page_cache_bytes));
  CatalogIdentity identity = TRY(EnsureSqliteSchema(database, options.secrets));
  return SqliteCatalog(std::move(options), std::move(identity));
}

Result<std::unique_ptr<SeriesStore>> SqliteCatalog::OpenStore(FatalHandler fatal) const {
  return CorruptIfNotUnderstood(SqliteSeriesStore::Create(TRY(Connect(false, options_.page_cache_bytes)), options_,
                                                          identity_.secret, std::move(fatal)));
}

Result<std::unique_ptr<CatalogReader>> SqliteCatalog::OpenReader() const {
  return CorruptIfNotUnderstood(SqliteCatalogReader::Create(TRY(Connect(true, options_.page_cache_bytes / 10))));
}

// Each store and reader opens the file by its name. A file that was put in its place since Open() has another uuid, or
// no tables, and is refused: ids in memory would not go with it.
Result<sqlite::Database> SqliteCatalog::Connect(bool read_only, uint64_t cache_bytes) const {
  sqlite::Database database = TRY(OpenDatabase(options_, read_only, cache_bytes));
  const CatalogIdentity found = TRY(CheckSqliteSchema(database, options_.secrets.configured));
  if (found.uuid == identity_.uuid) return database;
  return Fail(Errc::kCorrupt, format("{} was replaced while it was in use: it is catalogue {} now, and was {}: restart",
                                     database.path(), found.uuid, identity_.uuid));
}

}  // namespace mi::store
