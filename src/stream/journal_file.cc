#include "stream/journal_file.h"

#include <algorithm>
#include <utility>

#include "base/format.h"

namespace mi::stream {
namespace {

constexpr int64_t kSchemaVersion = 1;

// Debian's SQLite overwrites deleted pages by default, which would write each row twice more.
constexpr const char* kSettings = "PRAGMA secure_delete=OFF; PRAGMA wal_autocheckpoint=0";

// Trades disk for fewer syncs: rows that are trimmed before it never reach the main file.
constexpr int64_t kCheckpointWalBytes = 16 << 20;

// AUTOINCREMENT: without it SQLite starts again at 1 once the table is empty, below the positions that are stored.
constexpr const char* kSchema = R"sql(
  CREATE TABLE batch (
    offset INTEGER PRIMARY KEY AUTOINCREMENT,
    series INTEGER NOT NULL,
    seen_at_ms INTEGER NOT NULL,
    bytes BLOB NOT NULL);
  CREATE TABLE dead_letter (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    offset INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    bytes BLOB NOT NULL);
  CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
  INSERT INTO meta VALUES ('uuid', lower(hex(randomblob(16)))), ('uuid_since', 1), ('probe', 0);
  PRAGMA user_version=1)sql";

// A transaction deletes at most so many rows, so that no append waits long behind it.
constexpr int64_t kMaxTrimmed = 1'024;

Status CreateTables(sqlite::Database& database) {
  const Result<int64_t> version = database.QueryInt("PRAGMA user_version");
  if (!version) return Fail(version.error());
  if (*version == kSchemaVersion) return {};
  if (*version != 0) {
    return Fail(Errc::kInvalid, format("{}: written by a newer version (journal schema {}, this one knows {}); start "
                                       "that version, or move the file away",
                                       database.path(), *version, kSchemaVersion));
  }
  Result<sqlite::Transaction> transaction = sqlite::Transaction::Begin(database);
  if (!transaction) return Fail(transaction.error());
  if (Status created = database.Exec(kSchema); !created) return created;
  return transaction->Commit();
}

// Stored by who opens the journal first.
Status CheckSecret(sqlite::Database& database, uint64_t secret_check) {
  Result<sqlite::Statement> insert =
      database.Prepare("INSERT INTO meta VALUES ('secret_check', ?) ON CONFLICT DO NOTHING");
  if (!insert) return Fail(insert.error());
  if (Status inserted = insert->Bind(1, static_cast<int64_t>(secret_check)).Run(); !inserted) return inserted;
  const Result<int64_t> stored = database.QueryInt("SELECT value FROM meta WHERE key = 'secret_check'");
  if (!stored) return Fail(stored.error());
  if (static_cast<uint64_t>(*stored) == secret_check) return {};
  return Fail(Errc::kInvalid,
              format("{}: holds series of another identity.secret (check {:016x}, configured {:016x}); configure that "
                     "secret, or move the file away",
                     database.path(), static_cast<uint64_t>(*stored), secret_check));
}

}  // namespace

Result<sqlite::Database> OpenJournalDatabase(const JournalOptions& options, const std::atomic<int>* lock_wait_ms) {
  Result<sqlite::Database> database =
      sqlite::Database::Open(options.path, {.synchronous = options.synchronous,
                                            .vfs = options.vfs,
                                            .busy_timeout_ms = static_cast<int>(options.lock_wait.count()),
                                            .busy_limit_ms = lock_wait_ms});
  if (!database) return database;
  if (Status set = database->Exec(kSettings); !set) return Fail(set.error());
  return database;
}

Result<JournalFile> JournalFile::Open(const JournalOptions& options, const std::atomic<int>* lock_wait_ms) {
  Result<sqlite::Database> database = OpenJournalDatabase(options, lock_wait_ms);
  if (!database) return Fail(database.error());
  if (Status created = CreateTables(*database); !created) return Fail(created.error());
  if (Status same = CheckSecret(*database, options.secret_check); !same) return Fail(same.error());
  JournalFile file(std::move(*database), options.max_wal_bytes);
  if (Status prepared = file.Prepare(); !prepared) return Fail(prepared.error());
  return file;
}

Status JournalFile::Prepare() {
  Status prepared = database_.PrepareEach({{insert_, "INSERT INTO batch (series, seen_at_ms, bytes) VALUES (?, ?, ?)"},
                                           {delete_, "DELETE FROM batch WHERE offset < ?"},
                                           {page_count_, "PRAGMA page_count"},
                                           {freelist_count_, "PRAGMA freelist_count"},
                                           {probe_, "UPDATE meta SET value = value + 1 WHERE key = 'probe'"}});
  if (!prepared) return prepared;
  const std::pair<int64_t*, const char*> values[] = {
      {&next_offset_, "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'batch'), 0) + 1"},
      {&first_offset_, "SELECT coalesce((SELECT min(offset) FROM batch), 0)"}};
  for (const auto& [value, sql] : values) {
    const Result<int64_t> read = database_.QueryInt(sql);
    if (!read) return Fail(read.error());
    *value = *read;
  }
  if (first_offset_ == 0) first_offset_ = next_offset_;
  const Result<int64_t> page_bytes = database_.QueryInt("PRAGMA page_size");
  if (!page_bytes) return Fail(page_bytes.error());
  page_bytes_ = static_cast<uint64_t>(*page_bytes);
  if (Status own = database_.OwnCheckpoints(); !own) return own;
  return Measure();
}

Status JournalFile::Append(std::span<const Row> rows, int64_t trim_before) {
  if (Status room = MakeRoomInWal(); !room) return room;
  Result<sqlite::Transaction> transaction = sqlite::Transaction::Begin(database_);
  if (!transaction) return Fail(transaction.error());
  const int64_t trimmed = std::min(trim_before, first_offset_ + kMaxTrimmed);
  if (Status deleted = DeleteBefore(trimmed); !deleted) return deleted;
  int64_t next_offset = next_offset_;
  for (const Row& row : rows) {
    insert_.Bind(1, static_cast<int64_t>(row.series)).Bind(2, row.seen_at_ms).BindBlob(3, row.bytes);
    if (Status inserted = insert_.Run(); !inserted) return inserted;
    next_offset = database_.last_insert_rowid() + 1;
  }
  if (Status committed = transaction->Commit(); !committed) return committed;
  first_offset_ = std::max(first_offset_, trimmed);
  next_offset_ = next_offset;
  (void)Measure();  // the rows are committed, whatever becomes of this: the last value is near enough
  CheckpointWhenDue();
  return {};
}

Result<bool> JournalFile::Trim(int64_t trim_before) {
  if (Status trimmed = Append({}, trim_before); !trimmed) return Fail(trimmed.error());
  return first_offset_ >= trim_before;
}

Status JournalFile::DeleteBefore(int64_t offset) {
  if (offset <= first_offset_) return {};
  return delete_.Bind(1, offset).Run();
}

Status JournalFile::MakeRoomInWal() {
  constexpr int kWaitMs = 50;
  const auto bytes = [&] { return static_cast<uint64_t>(database_.wal_bytes()); };
  if (bytes() <= max_wal_bytes_) return {};
  if (const auto emptied = database_.TruncateWal(kWaitMs); !emptied) return Fail(emptied.error());
  if (bytes() <= max_wal_bytes_) return {};
  return Fail(Errc::kOverloaded,
              format("{}-wal holds {}, limit {}: another process reads the journal in one long transaction (an open "
                     "sqlite3 shell?); it must end first",
                     database_.path(), FormatBytes(bytes()), FormatBytes(max_wal_bytes_)));
}

// What fails here fails again, and is reported, with the next append.
void JournalFile::CheckpointWhenDue() {
  if (database_.wal_bytes() > kCheckpointWalBytes) (void)database_.Checkpoint();
}

Status JournalFile::Probe() {
  if (const auto checkpointed = database_.Checkpoint(); !checkpointed) return Fail(checkpointed.error());
  if (Status room = MakeRoomInWal(); !room) return room;
  return probe_.Run();
}

Status JournalFile::Measure() {
  int64_t pages[2] = {};
  sqlite::Statement* const statements[2] = {&page_count_, &freelist_count_};
  for (int i = 0; i < 2; ++i) {
    const Result<bool> row = statements[i]->Step();
    if (!row) return Fail(row.error());
    pages[i] = statements[i]->Int(0);
    statements[i]->Reset();
  }
  bytes_in_use_ = static_cast<uint64_t>(pages[0] - pages[1]) * page_bytes_;
  return {};
}

uint64_t JournalFile::CostOf(uint64_t row_bytes) const {
  return (row_bytes / (page_bytes_ - 4) + 2) * page_bytes_;  // an overflow page begins with 4 bytes of its own
}

}  // namespace mi::stream
