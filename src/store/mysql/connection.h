// One connection to MySQL or MariaDB, and its prepared statements.
#pragma once

#include <algorithm>
#include <atomic>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/file_descriptor.h"
#include "base/format.h"
#include "base/result.h"
#include "store/mysql/error.h"
#include "store/mysql/options.h"
#include "store/mysql/statement.h"

struct st_mysql;

namespace mi::store {

// How long a process that makes the tables waits for another one that does.
inline constexpr std::chrono::seconds kMysqlSchemaLockPatience{60};

// Rows to insert. Threads: confined to one thread. Ownership: texts are borrowed; they must live until they are
// inserted.
class MysqlRows {
 public:
  // `into` is the table with its columns, a constant: "metric_seen (metric_id, first_seen)".
  explicit MysqlRows(std::string_view into)
      : into_(into), columns_(static_cast<size_t>(std::ranges::count(into, ',')) + 1) {}

  // Adds one value per column.
  template <typename... Values>
  void Add(const Values&... values) {
    assert(sizeof...(values) == columns_);
    (values_.emplace_back(values), ...);
  }
  void Add(std::vector<MysqlValue> values) {
    assert(values.size() == columns_);
    values_.insert(values_.end(), values.begin(), values.end());
  }

  std::string_view into() const { return into_; }
  size_t columns() const { return columns_; }
  size_t size() const { return values_.size() / columns_; }
  std::span<const MysqlValue> Row(size_t row) const { return std::span(values_).subspan(row * columns_, columns_); }

 private:
  const std::string into_;
  const size_t columns_;
  std::vector<MysqlValue> values_;
};

// Counts faults, for store_errors_total.
using MysqlFaultListener = std::function<void(MysqlFault)>;

// Threads: confined to one thread at a time, except Cancel().
// Errors: see MysqlFault. After an error that ends the connection it is broken().
class MysqlConnection {
 public:
  enum class Purpose {
    kServe,            // a mistake of a person (password, rights) is kUnavailable, since no record is at fault
    kLook,             // it is kInvalid
    kWithoutDatabase,  // as kLook; to create the database
    kPrepare,          // as kLook; statements may take long
  };

  // Does not connect. `options` and `listener` must outlive it.
  MysqlConnection(const MysqlOptions& options, Purpose purpose, const MysqlFaultListener& listener);
  MysqlConnection(const MysqlConnection&) = delete;
  MysqlConnection& operator=(const MysqlConnection&) = delete;

  // Connects and prepares the session: strict mode, READ COMMITTED, UTC, limits. Requires: called once, before the
  // rest.
  Status Open();

  // A statement without parameters or rows. Its text must not contain values from outside.
  Status Exec(std::string_view sql);
  // The statement is prepared once and belongs to the connection. `sql` is a constant.
  Result<MysqlStatement*> Prepare(std::string_view sql);
  // Prepares, binds and runs; the caller fetches the rows.
  template <typename... Parameters>
  Result<MysqlStatement*> Query(std::string_view sql, const Parameters&... parameters) {
    MysqlStatement* statement = TRY(Prepare(sql));
    (statement->Bind(MysqlValue(parameters)), ...);
    TRY(statement->Run());
    return statement;
  }
  // Runs "<before> (?, ...) <after>" over many keys, some hundred per statement: with one key per statement the round
  // trip costs more than the look-up. `before` ends with "IN"; both are constants. key(i) is one of `count` keys, a
  // number or a text. visit(i, statement) sees the row of key i; the first column is the key.
  // Requires: the keys are ascending.
  template <typename Key, typename Visit>
  Status SelectIn(std::string_view before, std::string_view after, size_t count, Key key, Visit visit);

  // INSERT of all rows, many per statement; `suffix` follows the values. kTooLarge: a row is above the server's
  // max_allowed_packet.
  Status Insert(const MysqlRows& rows, std::string_view suffix = "");

  bool Ping();
  bool broken() const { return broken_; }
  // Marks it as broken.
  void Break() { broken_ = true; }
  // If this fails, the connection is broken, and the server rolls back when it is closed.
  void RollBack();
  // Ends the call that is under way and all that follow, as if the server had gone. Only while it is connecting, a call
  // may take up to connect_timeout. Threads: any, as long as the connection lives.
  void Cancel();

  Purpose purpose() const { return purpose_; }
  const MysqlOptions& options() const { return options_; }
  uint64_t faults() const { return faults_; }  // how many calls failed
  // Whether a call failed since then, and the last one because of another writer: then roll back and repeat.
  bool HasConflictSince(uint64_t faults) const { return faults_ != faults && last_fault_ == MysqlFault::kConflict; }
  unsigned int last_number() const { return last_number_; }  // error number of the last call that failed

 private:
  friend class MysqlStatement;
  struct Close {
    void operator()(st_mysql* connection) const;
  };

  void SetOptions();
  Status SetSession();
  // How many rows from `begin` on fit into the server's packet: at least 1, at most `max_rows`.
  Result<size_t> RowsThatFit(const MysqlRows& rows, size_t begin, size_t max_rows) const;
  std::unexpected<Error> Failed(unsigned int number, std::string_view message);
  bool IsPatient() const { return purpose_ == Purpose::kPrepare; }

  const MysqlOptions& options_;
  const Purpose purpose_;
  const MysqlFaultListener& listener_;
  const std::unique_ptr<st_mysql, Close> handle_;
  // Cancel() uses a duplicate of the socket. The library may close its own at any time, and another file may get its
  // number.
  FileDescriptor socket_owner_;
  std::atomic<int> socket_ = -1;
  std::atomic<bool> cancelled_ = false;
  std::map<std::string, std::unique_ptr<MysqlStatement>, std::less<>> statements_;
  uint64_t max_packet_bytes_ = 1 << 20;
  bool broken_ = false;
  uint64_t faults_ = 0;
  MysqlFault last_fault_ = MysqlFault::kOther;
  unsigned int last_number_ = 0;
};

// Rolled back unless it is committed.
class MysqlTransaction {
 public:
  static Result<MysqlTransaction> Begin(MysqlConnection& connection);

  // If it fails with kUnavailable the outcome is unknown: everything may be stored.
  Status Commit();

 private:
  struct RollBack {
    void operator()(MysqlConnection* connection) const { connection->RollBack(); }
  };
  explicit MysqlTransaction(MysqlConnection* connection) : connection_(connection) {}
  std::unique_ptr<MysqlConnection, RollBack> connection_;  // borrowed
};

template <typename Key, typename Visit>
Status MysqlConnection::SelectIn(std::string_view before, std::string_view after, size_t count, Key key, Visit visit) {
  const auto all = std::views::iota(size_t{0}, count);
  assert(std::ranges::is_sorted(all, {}, key));
  // Two statements, each prepared once. The larger has fewer than 1,000 keys, because from there on MariaDB makes a
  // temporary table. If keys are missing, the last one fills their places.
  constexpr size_t kMany = 500;
  constexpr size_t kFew = 20;
  for (size_t begin = 0; begin < count;) {
    const size_t left = count - begin;
    const size_t keys = left <= kFew ? kFew : kMany;
    std::string sql = format("{} (?", before);
    for (size_t i = 1; i < keys; ++i) sql += ", ?";
    sql += format(") {}", after);
    MysqlStatement* select = TRY(Prepare(sql));
    for (size_t i = 0; i < keys; ++i) select->Bind(key(begin + std::min(i, left - 1)));
    TRY(select->Run());
    while (TRY(select->Fetch())) {
      std::invoke_result_t<Key, size_t> found{};
      if constexpr (std::is_integral_v<decltype(found)>) {
        found = select->Number(0);
      } else {
        found = select->Text(0);
      }
      const auto at = std::ranges::lower_bound(all, found, {}, key);
      if (at != all.end() && key(*at) == found) TRY(visit(*at, *select));
    }
    begin += std::min(keys, left);
  }
  return {};
}

}  // namespace mi::store
