#include "stream/journal/file.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/format.h"
#include "model/fingerprint.h"

namespace mi::stream {
namespace {

constexpr int64_t kSchemaVersion = 1;

// Debian's SQLite overwrites deleted pages by default, which would write each row twice more.
constexpr const char* kSettings = "PRAGMA secure_delete=OFF; PRAGMA wal_autocheckpoint=0";

// Trades disk for fewer syncs: rows that are trimmed before a checkpoint never reach the main file.
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

// Rows that one transaction deletes at most, so that an append does not wait long.
constexpr int64_t kMaxTrimmed = 1'024;

Status CreateTables(sqlite::Database& database) {
  const int64_t version = TRY(database.QueryInt("PRAGMA user_version"));
  if (version == kSchemaVersion) return {};
  if (version != 0) {
    return Fail(Errc::kInvalid, format("{}: written by a newer version (journal schema {}, this one knows {}); start "
                                       "that version, or move the file away",
                                       database.path(), version, kSchemaVersion));
  }
  sqlite::Transaction transaction = TRY(sqlite::Transaction::Begin(database));
  TRY(database.Exec(kSchema));
  return transaction.Commit();
}

std::unexpected<Error> AnotherSecret(const sqlite::Database& database, int64_t stored, uint64_t ours) {
  return Fail(
      Errc::kInvalid,
      format("{}: holds series of another identity.secret (check {:016x}, ours {:016x}); configure that secret, "
             "or move the file away",
             database.path(), static_cast<uint64_t>(stored), ours));
}

// Refuses a journal that was written with another secret. The first opening stores its check value.
Status CheckSecret(sqlite::Database& database, uint64_t secret_check) {
  sqlite::Statement insert =
      TRY(database.Prepare("INSERT INTO meta VALUES ('secret_check', ?) ON CONFLICT DO NOTHING"));
  TRY(insert.Bind(1, static_cast<int64_t>(secret_check)).Run());
  const int64_t stored = TRY(database.QueryInt("SELECT value FROM meta WHERE key = 'secret_check'"));
  if (static_cast<uint64_t>(stored) == secret_check) return {};
  return AnotherSecret(database, stored, secret_check);
}

Status KeepSecret(sqlite::Database& database, const std::string& secret) {
  if (secret.empty()) return {};
  sqlite::Statement insert =
      TRY(database.Prepare("INSERT INTO meta VALUES ('identity_secret', ?) ON CONFLICT DO NOTHING"));
  return insert.BindText(1, secret).Run();
}

Result<std::optional<std::string>> ReadSecret(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) return std::nullopt;
  sqlite::Database database = TRY(sqlite::Database::Open(path, {.read_only = true}));
  if (TRY(database.QueryInt("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'")) == 0) return std::nullopt;
  sqlite::Statement kept = TRY(database.Prepare("SELECT value FROM meta WHERE key = 'identity_secret'"));
  if (TRY(kept.Step())) return std::string(kept.Text(0));
  sqlite::Statement check = TRY(database.Prepare("SELECT value FROM meta WHERE key = 'secret_check'"));
  if (!TRY(check.Step())) return std::nullopt;
  if (static_cast<uint64_t>(check.Int(0)) == model::SecretCheck("")) return "";
  return AnotherSecret(database, check.Int(0), model::SecretCheck(""));
}

}  // namespace

Result<std::optional<std::string>> ReadJournalSecret(const std::string& path) {
  Result<std::optional<std::string>> secret = ReadSecret(path);
  if (!secret && secret.error().code() == Errc::kCorrupt) return std::nullopt;  // Journal::Open sets the file aside
  return secret;
}

Result<sqlite::Database> OpenJournalDatabase(const JournalOptions& options, const std::atomic<int>* lock_wait_ms) {
  sqlite::Database database =
      TRY(sqlite::Database::Open(options.path, {.synchronous = options.synchronous,
                                                .vfs = options.vfs,
                                                .busy_timeout_ms = static_cast<int>(options.lock_wait.count()),
                                                .busy_limit_ms = lock_wait_ms}));
  TRY(database.Exec(kSettings));
  return database;
}

Result<JournalFile> JournalFile::Open(const JournalOptions& options, const std::atomic<int>* lock_wait_ms) {
  const WalFrames wal = ReadWalFrames(options.path + "-wal");
  sqlite::Database database = TRY(OpenJournalDatabase(options, lock_wait_ms));
  TRY(CreateTables(database));
  TRY(CheckSecret(database, options.secret_check));
  TRY(KeepSecret(database, options.kept_secret));
  JournalFile file(std::move(database), options.max_wal_bytes);
  TRY(file.Prepare());
  TRY(file.FindDamage(wal));
  return file;
}

// Renames the WAL first: without the file that it belongs to, SQLite would apply it to the next one. For the same
// reason the WAL of an earlier damaged file is deleted.
Status SetJournalAside(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove(path + ".damaged-wal", ignored);
  for (const char* suffix : {"-wal", ""}) {
    const std::string file = path + suffix;
    std::error_code error;
    std::filesystem::rename(file, path + ".damaged" + suffix, error);
    if (error && error != std::errc::no_such_file_or_directory) {
      return Fail(Errc::kUnavailable, format("{} is damaged and cannot be renamed: {}", file, error.message()));
    }
  }
  std::filesystem::remove(path + "-shm", ignored);  // an index of the WAL, which SQLite makes anew
  return {};
}

// A WAL that ends early may leave pages of different times in the file, and a disk may change any page. SQLite would
// notice it only when it comes to read that page. `wal`: as it was before SQLite opened it.
Status JournalFile::FindDamage(const WalFrames& wal) {
  TRY(database_.Checkpoint());  // this tells how much of the WAL SQLite accepts
  const int64_t accepted = database_.wal_frames();
  dropped_commits_ = static_cast<size_t>(std::ranges::count_if(wal.commits, [&](int64_t at) { return at > accepted; }));
  sqlite::Statement check = TRY(database_.Prepare("PRAGMA quick_check(1)"));
  if (TRY(check.Step()) && check.Text(0) != "ok") {
    return Fail(Errc::kCorrupt, format("{}: {}", database_.path(), check.Text(0)));
  }
  const int64_t has_uuid = TRY(database_.QueryInt("SELECT count(*) FROM meta WHERE key = 'uuid' AND value <> ''"));
  if (has_uuid == 0) return Fail(Errc::kCorrupt, format("{}: the journal has lost its uuid", database_.path()));
  return {};
}

Status JournalFile::Prepare() {
  TRY(database_.PrepareEach({{insert_, "INSERT INTO batch (series, seen_at_ms, bytes) VALUES (?, ?, ?)"},
                             {delete_, "DELETE FROM batch WHERE offset < ?"},
                             {page_count_, "PRAGMA page_count"},
                             {freelist_count_, "PRAGMA freelist_count"},
                             {probe_, "UPDATE meta SET value = value + 1 WHERE key = 'probe'"}}));
  next_offset_ =
      TRY(database_.QueryInt("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'batch'), 0) + 1"));
  first_offset_ = TRY(database_.QueryInt("SELECT coalesce((SELECT min(offset) FROM batch), 0)"));
  if (first_offset_ == 0) first_offset_ = next_offset_;
  page_bytes_ = static_cast<uint64_t>(TRY(database_.QueryInt("PRAGMA page_size")));
  TRY(database_.OwnCheckpoints());
  return Measure();
}

// One transaction deletes what may go, then inserts. With synchronous=full the commit syncs the WAL, so after this call
// the rows and the deletions survive a power cut; a crash before the commit leaves neither. The inserts take the pages
// that the deletions have freed, so a journal whose reader keeps up does not grow. The members change only after the
// commit: a call that fails has changed nothing, and the next one gets the same offsets.
//
// Cost: one sync, at most kMaxTrimmed deletions, and the rows' bytes: once in the WAL, and once more in the main file
// if a checkpoint comes before they are trimmed. The file's write lock is held from BEGIN to COMMIT. A checkpoint that
// is due runs here as well, and delays the caller's answers.
Status JournalFile::Append(std::span<const Row> rows, int64_t trim_before) {
  TRY(MakeRoomInWal());
  sqlite::Transaction transaction = TRY(sqlite::Transaction::Begin(database_));
  const int64_t trimmed = std::min(trim_before, first_offset_ + kMaxTrimmed);
  if (trimmed > first_offset_) TRY(delete_.Bind(1, trimmed).Run());
  int64_t next_offset = next_offset_;
  for (const Row& row : rows) {
    TRY(insert_.Bind(1, static_cast<int64_t>(row.series)).Bind(2, row.seen_at_ms).BindBlob(3, row.bytes).Run());
    next_offset = database_.last_insert_rowid() + 1;
  }
  TRY(transaction.Commit());
  first_offset_ = std::max(first_offset_, trimmed);
  next_offset_ = next_offset;
  // The rows are committed, so neither of these may fail the call: the last measurement is close enough, and a
  // checkpoint that fails here fails again, and is reported, with the next append.
  (void)Measure();
  if (database_.wal_bytes() > kCheckpointWalBytes) (void)database_.Checkpoint();
  return {};
}

// Another process that keeps a read transaction open keeps SQLite from starting the WAL again at its beginning.
Status JournalFile::MakeRoomInWal() {
  constexpr int kWaitMs = 50;
  const auto bytes = [&] { return static_cast<uint64_t>(database_.wal_bytes()); };
  if (bytes() <= max_wal_bytes_) return {};
  TRY(database_.TruncateWal(kWaitMs));
  if (bytes() <= max_wal_bytes_) return {};
  return Fail(Errc::kOverloaded,
              format("{}-wal holds {}, limit {}: another process reads the journal in one long transaction (an open "
                     "sqlite3 shell?); it must end first",
                     database_.path(), FormatBytes(bytes()), FormatBytes(max_wal_bytes_)));
}

Status JournalFile::Probe() {
  TRY(database_.Checkpoint());
  TRY(MakeRoomInWal());
  return probe_.Run();
}

Status JournalFile::Measure() {
  int64_t pages[2] = {};
  sqlite::Statement* const statements[2] = {&page_count_, &freelist_count_};
  for (int i = 0; i < 2; ++i) {
    TRY(statements[i]->Step());
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
