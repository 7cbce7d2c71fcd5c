// One connection to MySQL or MariaDB, and its prepared statements.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/mysql_catalog.h"
#include "store/mysql_error.h"
#include "store/mysql_rows.h"
#include "store/mysql_statement.h"

struct st_mysql;

namespace mi::store {

// How long whoever makes the tables waits for another process that does.
inline constexpr std::chrono::seconds kMysqlSchemaLockPatience{60};

// What counts faults: store_errors_total.
using MysqlFaultListener = std::function<void(MysqlFault)>;

// Threads: confined to one thread at a time. Errors: see MysqlFault; after one that ends the connection, broken().
class MysqlConnection {
 public:
  // kServe: a person's mistake (wrong password, missing rights) is kUnavailable: it is no fault of a record's.
  // kLook: it is kInvalid. kWithoutDatabase: as that, to create it. kPrepare: as that; statements may take long.
  enum class Purpose { kServe, kLook, kWithoutDatabase, kPrepare };

  // `options` and `listener` must outlive it.
  static std::unique_ptr<MysqlConnection> Create(const MysqlOptions& options, Purpose purpose,
                                                 const MysqlFaultListener& listener);
  // Connects and sets the session up: STRICT, READ COMMITTED, UTC, limits. Once; nothing else before it.
  Status Open();
  // Both.
  static Result<std::unique_ptr<MysqlConnection>> Connect(const MysqlOptions& options, Purpose purpose,
                                                          const MysqlFaultListener& listener);
  ~MysqlConnection();
  MysqlConnection(const MysqlConnection&) = delete;
  MysqlConnection& operator=(const MysqlConnection&) = delete;

  // A statement without parameters or rows; never one with values in its text.
  Status Exec(std::string_view sql);
  // Prepared once a connection; it belongs to the connection. `sql` is a constant of ours.
  Result<MysqlStatement*> Prepare(std::string_view sql);

  // INSERT INTO `into` ("metric_seen (metric_id, first_seen)") of all rows, many at once; `suffix` follows the values.
  // kTooLarge: a row is above the server's max_allowed_packet.
  Status Insert(std::string_view into, const MysqlRows& rows, std::string_view suffix = "");

  bool Ping();
  bool broken() const { return broken_; }
  // It was left in the middle of something: statements may hold parameters, a transaction may be open.
  void Break() { broken_ = true; }
  // What fails to roll back is thrown away, and then the server rolls back.
  void RollBack() noexcept;
  // Ends what is under way, and whatever would come: it fails as if the server had gone. Only a connection that is just
  // being made takes its time, connect_timeout at most. Threads: any, as long as the connection lives.
  void Cancel() noexcept;
  // Of the last call that failed.
  MysqlFault last_fault() const { return last_fault_; }
  unsigned int last_number() const { return last_number_; }
  uint64_t faults() const { return faults_; }  // how many calls failed
  const MysqlOptions& options() const { return options_; }

 private:
  friend class MysqlStatement;
  MysqlConnection(const MysqlOptions& options, Purpose purpose, const MysqlFaultListener& listener);
  void SetOptions();
  Status SetSession();
  Status InsertArrays(std::string_view into, const MysqlRows& rows, std::string_view suffix);
  Status InsertMultiRow(std::string_view into, const MysqlRows& rows, std::string_view suffix);
  // Where an INSERT that begins at `begin` ends; at most `max_rows` and the server's packet.
  Result<size_t> ChunkEnd(const MysqlRows& rows, size_t begin, size_t max_rows) const;
  std::unexpected<Error> Failed(unsigned int number, std::string_view message);
  bool IsPatient() const { return purpose_ == Purpose::kPrepare; }

  const MysqlOptions& options_;
  const Purpose purpose_;
  const MysqlFaultListener& listener_;
  st_mysql* mysql_;
  // A duplicate, for Cancel(): the library closes its own whenever it likes, and the number may be another's then.
  std::atomic<int> socket_ = -1;
  std::atomic<bool> cancelled_ = false;
  std::map<std::string, std::unique_ptr<MysqlStatement>, std::less<>> statements_;
  uint64_t max_packet_bytes_ = 1 << 20;
  bool takes_arrays_ = false;
  bool broken_ = false;
  MysqlFault last_fault_ = MysqlFault::kOther;
  unsigned int last_number_ = 0;
  uint64_t faults_ = 0;
};

// Rolled back unless it is committed.
class MysqlTransaction {
 public:
  static Result<MysqlTransaction> Begin(MysqlConnection& connection);
  MysqlTransaction(MysqlTransaction&& other) noexcept : connection_(other.connection_) { other.connection_ = nullptr; }
  MysqlTransaction& operator=(MysqlTransaction&&) = delete;
  ~MysqlTransaction();

  // When it fails with kUnavailable the outcome is unknown: all of it may be stored.
  Status Commit();

 private:
  explicit MysqlTransaction(MysqlConnection* connection) : connection_(connection) {}
  MysqlConnection* connection_;
};

// Where the server is, for people: "127.0.0.1:3306", or the unix socket.
std::string AddressOf(const MysqlOptions& options);

// The server's clock, ms since the epoch: what metric_seen.changed is written and read by.
Result<uint64_t> ServerNowMs(MysqlConnection& connection);

// Takes `count` ids of a table, for good: gives the first. Requires: no transaction is open, so that no other writer
// waits for this one.
Result<uint64_t> TakeMysqlIds(MysqlConnection& connection, std::string_view table, uint64_t count);

}  // namespace mi::store
