// INSERT of many rows per statement.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "base/result.h"
#include "sqlite/database.h"
#include "store/rows.h"

namespace mi::store {

// Threads: confined to one thread. Must not outlive the database.
class SqliteBulkInsert {
 public:
  SqliteBulkInsert() = default;

  // `into` is the table with its columns, a constant: "metric_seen (metric_id, first_seen, last_seen)".
  static Result<SqliteBulkInsert> Open(sqlite::Database& database, std::string_view into) {
    SqliteBulkInsert insert;
    insert.columns_ = static_cast<size_t>(std::ranges::count(into, ',')) + 1;
    insert.one_ = TRY(database.Prepare(InsertSql(into, 1)));
    insert.many_ = TRY(database.Prepare(InsertSql(into, kRows)));
    return insert;
  }

  // Calls bind(i, statement, first) for each of `rows` rows, which binds the columns of row i from parameter `first`
  // on. What it binds must live until the call returns.
  template <typename Bind>
  Status Insert(size_t rows, Bind bind) {
    size_t row = 0;
    for (; row + kRows <= rows; row += kRows) {
      for (size_t i = 0; i < kRows; ++i) bind(row + i, many_, static_cast<int>(i * columns_ + 1));
      TRY(many_.Run());
    }
    for (; row < rows; ++row) {
      bind(row, one_, 1);
      TRY(one_.Run());
    }
    return {};
  }

 private:
  static constexpr size_t kRows = 64;

  size_t columns_ = 0;
  sqlite::Statement one_;
  sqlite::Statement many_;
};

}  // namespace mi::store
