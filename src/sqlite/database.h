// SQLite's two handles, wrapped once for the rooms that keep files with it (the stream's journal, the store's
// catalogue).
//
// Errors: kOverloaded: the disk is full. kUnavailable: busy, I/O error, cannot open. kCorrupt: damaged, no database, or
//         a key that exists already (nobody inserts a key without looking for it). kInternal: misuse, other
//         constraints. The message has SQLite's own words and the path.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace mi::sqlite {

struct OpenOptions {
  bool read_only = false;
  bool wal = true;                   // false: leaves the journal mode of the file as it is
  std::string synchronous = "full";  // off, normal, full, extra
  std::string vfs;                   // '' = the default; tests use one that loses what was not synced
  int busy_timeout_ms = 5'000;       // how long to wait for a lock of another connection
  // Shortens such a wait, even one that has begun: a stop cannot wait for an unknown process. May change at any time,
  // from any thread. Must outlive the connection.
  const std::atomic<int>* busy_limit_ms = nullptr;
};

// A prepared statement. Threads: confined to one thread. Must not outlive its database.
// Parameters are numbered from 1, columns from 0.
class Statement {
 public:
  Statement() = default;

  Statement& Bind(int parameter, int64_t value);
  Statement& BindText(int parameter, std::string_view value);  // borrowed until the next Reset
  Statement& BindBlob(int parameter, std::string_view value);  // borrowed until the next Reset

  // True: there is a row. False: the statement is done, and is reset. Reports a failed bind, too.
  Result<bool> Step();
  // For statements without rows: steps once and resets.
  Status Run();
  void Reset();

  bool IsNull(int column) const;
  int64_t Int(int column) const;
  std::string_view Text(int column) const;  // valid until the next Step or Reset
  std::string_view Blob(int column) const;  // likewise

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit Statement(sqlite3_stmt* handle) : handle_(handle) {}
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
  int bind_error_ = 0;
};

// A connection, normally in WAL mode. Threads: confined to one thread at a time.
class Database {
 public:
  // Creates the file if it is missing and not read_only. Sets WAL (see OpenOptions), synchronous and the busy timeout.
  static Result<Database> Open(const std::string& path, const OpenOptions& options);

  // One or several statements without parameters.
  Status Exec(const std::string& sql);
  Result<Statement> Prepare(std::string_view sql);
  struct Named {
    Statement& statement;
    std::string_view sql;
  };
  // Prepares several statements, up to the first that fails.
  Status PrepareEach(std::initializer_list<Named> statements);
  // The first column of the first row of a statement without parameters; 0 if there is no row.
  Result<int64_t> QueryInt(std::string_view sql);

  int64_t last_insert_rowid() const;
  int64_t changes() const;
  bool in_transaction() const;

  struct CheckpointResult {
    bool complete = false;  // every frame of the WAL is in the database file, and synced
  };
  // Copies the WAL into the database file, as far as readers allow, without waiting for them.
  Result<CheckpointResult> Checkpoint();
  // Like Checkpoint, but waits up to `wait_ms` for readers to leave the WAL, and then empties its file. Writers wait.
  Result<CheckpointResult> TruncateWal(int wait_ms);

  // Makes `target` a copy of this database as it is now. Others may write meanwhile, but their WAL only grows until the
  // copy is complete. Damaged pages are copied as they are.
  Status CopyTo(Database& target);

  // Releases the memory of the page cache that is not in use.
  void ReleaseMemory();

  // From now on SQLite makes no checkpoints by itself on this connection, and wal_bytes() works.
  Status OwnCheckpoints();
  // The size of the WAL after the last commit or checkpoint of this connection.
  int64_t wal_bytes() const { return wal_ ? wal_->frames * wal_->frame_bytes : 0; }
  int64_t wal_frames() const { return wal_ ? wal_->frames : 0; }

  const std::string& path() const { return path_; }
  sqlite3* handle() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  Database(sqlite3* handle, std::string path) : path_(std::move(path)), handle_(handle) {}
  Result<CheckpointResult> RunCheckpoint(int mode);

  // SQLite asks it before each further wait for a lock.
  struct Busy {
    int timeout_ms = 0;
    const std::atomic<int>* limit_ms = nullptr;
    std::chrono::steady_clock::time_point begun;
    bool Wait(int attempts);
  };
  struct Wal {
    int64_t frames = 0;
    int64_t frame_bytes = 0;
  };
  std::string path_;
  std::unique_ptr<Busy> busy_;  // on the heap, because SQLite keeps their addresses
  std::unique_ptr<Wal> wal_;
  std::unique_ptr<sqlite3, Close> handle_;
};

// A write transaction (BEGIN IMMEDIATE). Rolls back if it is destroyed before Commit().
class Transaction {
 public:
  static Result<Transaction> Begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status Commit();  // on failure the transaction is rolled back

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace mi::sqlite
