// A prepared statement of a connection to MySQL or MariaDB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct st_mysql_stmt;

namespace mi::store {

class MysqlConnection;

// A value of a parameter. A text is borrowed: it must live until the statement ran.
struct MysqlValue {
  MysqlValue(uint64_t value) : number(value), is_text(false), is_signed(false) {}
  MysqlValue(int64_t value) : number(static_cast<uint64_t>(value)), is_text(false), is_signed(true) {}
  MysqlValue(std::string_view value) : is_text(true), is_signed(false) {
    text = value.data() == nullptr ? "" : value;  // a null pointer would bind NULL
  }

  uint64_t number = 0;
  std::string_view text;
  bool is_text;
  bool is_signed;
};

// A prepared statement: bind the parameters in their order, then run it, then fetch rows.
// Threads: confined to the connection's.
class MysqlStatement {
 public:
  MysqlStatement(const MysqlStatement&) = delete;
  MysqlStatement& operator=(const MysqlStatement&) = delete;

  MysqlStatement& Bind(const MysqlValue& value) {
    parameters_.push_back(value);
    return *this;
  }

  // Sends it and takes the whole answer into memory, so that a slow reader does not keep the server busy.
  // Requires: every parameter is bound.
  Status Run();
  // Returns false if there are no more rows, or the statement has none.
  Result<bool> Fetch();

  // Columns of the fetched row, from 0. A text is valid until the next Fetch.
  int64_t Int(size_t column) const { return static_cast<int64_t>(Number(column)); }
  uint64_t Number(size_t column) const { return columns_[column].number; }
  std::string_view Text(size_t column) const { return {columns_[column].text.data(), columns_[column].length}; }
  std::string_view Blob(size_t column) const { return Text(column); }
  bool IsText(size_t column) const { return columns_[column].is_text; }
  size_t columns() const { return columns_.size(); }
  uint64_t affected_rows() const;
  uint64_t insert_id() const;

 private:
  friend class MysqlConnection;
  struct Close {
    void operator()(st_mysql_stmt* statement) const;
  };
  struct Column {
    bool is_text = false;
    uint64_t number = 0;
    std::string text;
    unsigned long length = 0;
  };
  explicit MysqlStatement(MysqlConnection& connection);
  Status Prepare(std::string_view sql);
  bool BindParameters();
  Status BindColumns();
  std::unexpected<Error> Failed();

  MysqlConnection& connection_;
  const std::unique_ptr<st_mysql_stmt, Close> handle_;
  std::vector<MysqlValue> parameters_;
  // What the library reads the parameters from: it has the addresses.
  std::vector<uint64_t> numbers_;
  std::vector<unsigned long> lengths_;
  enum class BoundAs : char { kNothing, kText, kSigned, kUnsigned };
  std::vector<BoundAs> bound_as_;  // what the library was told last
  std::vector<Column> columns_;
};

}  // namespace mi::store
