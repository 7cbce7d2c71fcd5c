#include "sqlite/database.h"

#include <sqlite3.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "base/fatal.h"
#include "base/format.h"

namespace mi::sqlite {
namespace {

Errc CodeOf(int result) {
  switch (result) {
    // A key that exists although the caller has looked it up before: an index does not have what its table has.
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
    case SQLITE_CONSTRAINT_UNIQUE: return Errc::kCorrupt;
    default: break;
  }
  switch (result & 0xff) {
    case SQLITE_FULL: return Errc::kOverloaded;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return Errc::kCorrupt;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_INTERRUPT: return Errc::kUnavailable;
    default: return Errc::kInternal;
  }
}

std::unexpected<Error> FailWith(sqlite3* database, int result) {
  if ((result & 0xff) == SQLITE_NOMEM) OutOfMemory();
  const char* path = sqlite3_db_filename(database, "main");
  return Fail(CodeOf(result),
              format("{}: {} (sqlite {})", path == nullptr ? "?" : path, sqlite3_errmsg(database), result));
}

// Switches off SQLite's memory statistics: nobody reads them, and each allocation would take a process-wide lock.
void ConfigureOnce() {
  static const int configured = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  (void)configured;
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
void Database::Close::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

Statement& Statement::Bind(int parameter, int64_t value) {
  const int result = sqlite3_bind_int64(handle_.get(), parameter, value);
  if (result != SQLITE_OK) bind_error_ = result;
  return *this;
}

Statement& Statement::BindText(int parameter, std::string_view value) {
  // A null pointer would bind NULL, not ''.
  const char* text = value.empty() ? "" : value.data();
  const int result = sqlite3_bind_text64(handle_.get(), parameter, text, value.size(), SQLITE_STATIC, SQLITE_UTF8);
  if (result != SQLITE_OK) bind_error_ = result;
  return *this;
}

Statement& Statement::BindBlob(int parameter, std::string_view value) {
  const char* bytes = value.empty() ? "" : value.data();
  const int result = sqlite3_bind_blob64(handle_.get(), parameter, bytes, value.size(), SQLITE_STATIC);
  if (result != SQLITE_OK) bind_error_ = result;
  return *this;
}

Result<bool> Statement::Step() {
  const int bind_error = std::exchange(bind_error_, 0);
  const int result = bind_error != 0 ? bind_error : sqlite3_step(handle_.get());
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) {
    sqlite3_reset(handle_.get());
    return false;
  }
  auto error = FailWith(sqlite3_db_handle(handle_.get()), result);
  sqlite3_reset(handle_.get());
  return error;
}

Status Statement::Run() {
  TRY(Step());
  Reset();
  return {};
}

void Statement::Reset() { sqlite3_reset(handle_.get()); }

bool Statement::IsNull(int column) const { return sqlite3_column_type(handle_.get(), column) == SQLITE_NULL; }

int64_t Statement::Int(int column) const { return sqlite3_column_int64(handle_.get(), column); }

std::string_view Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(handle_.get(), column));
  return {text, static_cast<size_t>(sqlite3_column_bytes(handle_.get(), column))};
}

std::string_view Statement::Blob(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(handle_.get(), column));
  return {bytes, static_cast<size_t>(sqlite3_column_bytes(handle_.get(), column))};
}

// The waits grow, since most locks last as long as a commit. The limit is read before each step, so a stop that
// lowers it also shortens a wait that has begun.
bool Database::Busy::Wait(int attempts) {
  using std::chrono::milliseconds;
  constexpr int kLongestStepMs = 50;
  const auto now = std::chrono::steady_clock::now();
  if (attempts == 0) begun = now;
  const int patience_ms = limit_ms == nullptr ? timeout_ms : std::min(timeout_ms, limit_ms->load());
  const auto left = std::chrono::ceil<milliseconds>(begun + milliseconds(patience_ms) - now);
  if (left <= milliseconds(0)) return false;
  std::this_thread::sleep_for(std::min(left, milliseconds(std::min(attempts + 1, kLongestStepMs))));
  return true;
}

Result<Database> Database::Open(const std::string& path, const OpenOptions& options) {
  const int flags = options.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  ConfigureOnce();
  sqlite3* handle = nullptr;
  const int result = sqlite3_open_v2(path.c_str(), &handle, flags | SQLITE_OPEN_NOMUTEX,
                                     options.vfs.empty() ? nullptr : options.vfs.c_str());
  Database database(handle, path);
  if (handle == nullptr) OutOfMemory();
  if (result != SQLITE_OK) return Fail(CodeOf(result), format("{}: {}", path, sqlite3_errmsg(handle)));
  sqlite3_extended_result_codes(handle, 1);
  database.busy_ = std::make_unique<Busy>(Busy{options.busy_timeout_ms, options.busy_limit_ms, {}});
  sqlite3_busy_handler(
      handle, [](void* busy, int attempts) { return static_cast<Busy*>(busy)->Wait(attempts) ? 1 : 0; },
      database.busy_.get());
  if (options.wal && !options.read_only) TRY(database.Exec("PRAGMA journal_mode=WAL"));
  TRY(database.Exec(format("PRAGMA synchronous={}", options.synchronous)));
  return database;
}

Status Database::Exec(const std::string& sql) {
  const int result = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (result != SQLITE_OK) return FailWith(handle_.get(), result);
  return {};
}

Result<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int result = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (result != SQLITE_OK) return FailWith(handle_.get(), result);
  return Statement(statement);
}

Status Database::PrepareEach(std::initializer_list<Named> statements) {
  for (const auto& [statement, sql] : statements) statement = TRY(Prepare(sql));
  return {};
}

Result<int64_t> Database::QueryInt(std::string_view sql) {
  Statement statement = TRY(Prepare(sql));
  return TRY(statement.Step()) ? statement.Int(0) : 0;
}

int64_t Database::last_insert_rowid() const { return sqlite3_last_insert_rowid(handle_.get()); }
int64_t Database::changes() const { return sqlite3_changes64(handle_.get()); }
bool Database::in_transaction() const { return sqlite3_get_autocommit(handle_.get()) == 0; }

// `frames` is the length of the WAL and `done` how many of its frames are in the database file; after a truncation both
// are 0. SQLite syncs the database file only if they are equal, so only then is the checkpoint complete. Readers
// that still need old pages, or another checkpoint that runs, are no error: the rest is left to a later checkpoint.
Result<Database::CheckpointResult> Database::RunCheckpoint(int mode) {
  int frames = 0;
  int done = 0;
  const int result = sqlite3_wal_checkpoint_v2(handle_.get(), nullptr, mode, &frames, &done);
  if (wal_ && frames >= 0) wal_->frames = frames;
  if (result == SQLITE_BUSY) return CheckpointResult{};
  if (result != SQLITE_OK) return FailWith(handle_.get(), result);
  return CheckpointResult{.complete = frames == done};
}

Result<Database::CheckpointResult> Database::Checkpoint() { return RunCheckpoint(SQLITE_CHECKPOINT_PASSIVE); }

Result<Database::CheckpointResult> Database::TruncateWal(int wait_ms) {
  const int usual_ms = std::exchange(busy_->timeout_ms, wait_ms);
  Result<CheckpointResult> result = RunCheckpoint(SQLITE_CHECKPOINT_TRUNCATE);
  busy_->timeout_ms = usual_ms;
  return result;
}

// All pages in one step, hence in one read transaction. A copy in several steps begins again whenever somebody writes
// in between, and under load it would never end.
Status Database::CopyTo(Database& target) {
  constexpr int kAllPages = -1;
  sqlite3_backup* const copy = sqlite3_backup_init(target.handle_.get(), "main", handle_.get(), "main");
  if (copy == nullptr) return FailWith(target.handle_.get(), sqlite3_errcode(target.handle_.get()));
  const int step = sqlite3_backup_step(copy, kAllPages);
  const int finish = sqlite3_backup_finish(copy);  // leaves the error of a step in the target
  const int result = step == SQLITE_DONE ? finish : step;
  if (result != SQLITE_OK) return FailWith(target.handle_.get(), result);
  return {};
}

void Database::ReleaseMemory() { sqlite3_db_release_memory(handle_.get()); }

// The hook takes the place of SQLite's own, which makes the automatic checkpoints. SQLite calls it after each commit of
// this connection with the length of the WAL, so wal_bytes() costs no system call. Commits of other connections show
// with this connection's next commit.
Status Database::OwnCheckpoints() {
  constexpr int64_t kFrameHeaderBytes = 24;
  const int64_t page_bytes = TRY(QueryInt("PRAGMA page_size"));
  wal_ = std::make_unique<Wal>(Wal{.frames = 0, .frame_bytes = page_bytes + kFrameHeaderBytes});
  sqlite3_wal_hook(
      handle_.get(),
      [](void* wal, sqlite3*, const char*, int frames) {
        static_cast<Wal*>(wal)->frames = frames;
        return SQLITE_OK;
      },
      wal_.get());
  return {};
}

// IMMEDIATE takes the write lock at once, while waiting is possible. A transaction that begins by reading could not
// wait for the lock later: what it has read may be outdated by then, and SQLite fails it with SQLITE_BUSY_SNAPSHOT.
Result<Transaction> Transaction::Begin(Database& database) {
  TRY(database.Exec("BEGIN IMMEDIATE"));
  return Transaction(database);
}

// After some errors (a full disk, I/O) SQLite has rolled back by itself, and no transaction is open any more.
Transaction::~Transaction() {
  if (database_ != nullptr && database_->in_transaction()) (void)database_->Exec("ROLLBACK");
}

Status Transaction::Commit() {
  TRY(database_->Exec("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace mi::sqlite
