// INSERT of many rows, several a statement: at one row a statement, preparing to run costs SQLite as much as the row.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "base/format.h"
#include "base/result.h"
#include "sqlite/database.h"

namespace mi::store {

// Threads: confined to one thread. Must not outlive the database.
class SqliteBulkInsert {
 public:
  SqliteBulkInsert() = default;

  // `into` is the table with its columns, a constant of ours: "metric_seen (metric_id, first_seen, last_seen)".
  static Result<SqliteBulkInsert> Open(sqlite::Database& database, std::string_view into) {
    SqliteBulkInsert insert;
    insert.columns_ = static_cast<size_t>(std::ranges::count(into, ',')) + 1;
    for (const auto& [statement, rows] : {std::pair(&insert.one_, size_t{1}), std::pair(&insert.many_, kRows)}) {
      Result<sqlite::Statement> prepared = database.Prepare(Sql(into, insert.columns_, rows));
      if (!prepared) return Fail(prepared.error());
      *statement = *std::move(prepared);
    }
    return insert;
  }

  // Calls bind(i, statement, first) for each of `rows` rows; it binds the row's columns from parameter `first` on, and
  // what it binds must live until the call returns.
  template <typename Bind>
  Status Insert(size_t rows, Bind bind) {
    size_t row = 0;
    for (; row + kRows <= rows; row += kRows) {
      for (size_t i = 0; i < kRows; ++i) bind(row + i, many_, static_cast<int>(i * columns_ + 1));
      if (Status s = many_.Run(); !s) return s;
    }
    for (; row < rows; ++row) {
      bind(row, one_, 1);
      if (Status s = one_.Run(); !s) return s;
    }
    return {};
  }

 private:
  static constexpr size_t kRows = 64;

  static std::string Sql(std::string_view into, size_t columns, size_t rows) {
    std::string row = "(?";
    for (size_t i = 1; i < columns; ++i) row += ", ?";
    row += ")";
    std::string sql = format("INSERT INTO {} VALUES {}", into, row);
    for (size_t i = 1; i < rows; ++i) sql += ", " + row;
    return sql;
  }

  size_t columns_ = 0;
  sqlite::Statement one_;
  sqlite::Statement many_;
};

}  // namespace mi::store
