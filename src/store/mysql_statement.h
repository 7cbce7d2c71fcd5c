// A prepared statement of a connection to MySQL or MariaDB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/mysql_rows.h"

struct st_mysql_stmt;

namespace mi::store {

class MysqlConnection;

// A prepared statement. Parameters are bound in their order, then it runs, then rows are fetched.
// Threads: confined to the connection's.
class MysqlStatement {
 public:
  ~MysqlStatement();
  MysqlStatement(const MysqlStatement&) = delete;
  MysqlStatement& operator=(const MysqlStatement&) = delete;

  // What is bound as text must live until Run() returns.
  MysqlStatement& Bind(uint64_t number);
  MysqlStatement& Bind(int64_t number);
  MysqlStatement& BindText(std::string_view text);

  // Sends it, and takes the whole answer into memory: a slow reader does not keep the server busy.
  // Requires: every parameter is bound.
  Status Run();
  // False when there are no more rows, or the statement gives none.
  Result<bool> Fetch();

  // Columns of the row that was fetched, from 0; text is valid until the next Fetch.
  uint64_t Number(size_t column) const { return columns_[column].number; }
  int64_t Signed(size_t column) const { return static_cast<int64_t>(columns_[column].number); }
  std::string_view Text(size_t column) const { return {columns_[column].text.data(), columns_[column].length}; }
  size_t columns() const { return columns_.size(); }
  // Whatever it is, as text.
  std::string Shown(size_t column) const;
  uint64_t affected_rows() const;
  uint64_t insert_id() const;

 private:
  friend class MysqlConnection;
  struct Column {
    bool is_text = false;
    uint64_t number = 0;
    std::string text;
    unsigned long length = 0;
  };
  struct Parameter {
    uint64_t number;
    std::string_view text;
    bool is_text;
    bool is_signed;
  };

  MysqlStatement(MysqlConnection& connection, st_mysql_stmt* statement);
  // The rows [begin, end) as arrays.
  Status RunArrays(const MysqlRows& rows, size_t begin, size_t end);
  Status BindColumns();
  std::unexpected<Error> Failed();

  MysqlConnection& connection_;
  st_mysql_stmt* statement_;
  std::vector<Parameter> parameters_;
  std::vector<Column> columns_;
};

}  // namespace mi::store
