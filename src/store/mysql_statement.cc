#include "store/mysql_statement.h"

#include <mysql.h>

#include <algorithm>
#include <utility>

#include "base/format.h"
#include "store/mysql_connection.h"

namespace mi::store {

MysqlStatement::MysqlStatement(MysqlConnection& connection, st_mysql_stmt* statement)
    : connection_(connection), statement_(statement) {}

MysqlStatement::~MysqlStatement() { mysql_stmt_close(statement_); }

MysqlStatement& MysqlStatement::Bind(uint64_t number) {
  parameters_.push_back({.number = number, .text = {}, .is_text = false, .is_signed = false});
  return *this;
}
MysqlStatement& MysqlStatement::Bind(int64_t number) {
  parameters_.push_back({.number = static_cast<uint64_t>(number), .text = {}, .is_text = false, .is_signed = true});
  return *this;
}
MysqlStatement& MysqlStatement::BindText(std::string_view text) {
  parameters_.push_back({.number = 0, .text = text, .is_text = true, .is_signed = false});
  return *this;
}

Status MysqlStatement::Run() {
  const std::vector<Parameter> parameters = std::exchange(parameters_, {});
  mysql_stmt_free_result(statement_);
  std::vector<MYSQL_BIND> binds(parameters.size());
  std::vector<unsigned long> lengths(parameters.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = parameters[i];
    MYSQL_BIND& bind = binds[i];
    if (parameter.is_text) {
      bind.buffer_type = MYSQL_TYPE_STRING;
      bind.buffer = const_cast<char*>(parameter.text.data());
      lengths[i] = parameter.text.size();
      bind.buffer_length = lengths[i];
      bind.length = &lengths[i];
    } else {
      bind.buffer_type = MYSQL_TYPE_LONGLONG;
      bind.buffer = const_cast<uint64_t*>(&parameter.number);
      bind.is_unsigned = !parameter.is_signed;
    }
  }
  if (!binds.empty() && mysql_stmt_bind_param(statement_, binds.data()) != 0) return Failed();
  if (mysql_stmt_execute(statement_) != 0) return Failed();
  if (columns_.empty()) return {};
  if (Status bound = BindColumns(); !bound) return bound;
  if (mysql_stmt_store_result(statement_) != 0) return Failed();
  return {};
}

Status MysqlStatement::RunArrays(const MysqlRows& rows, size_t begin, size_t end) {
  std::vector<MYSQL_BIND> binds(rows.columns().size());
  for (size_t i = 0; i < binds.size(); ++i) {
    const MysqlColumn& column = rows.columns()[i];
    if (column.is_text) {
      binds[i].buffer_type = MYSQL_TYPE_STRING;
      binds[i].buffer = const_cast<const char**>(column.texts.data() + begin);
      binds[i].length = const_cast<unsigned long*>(column.lengths.data() + begin);
    } else {
      binds[i].buffer_type = MYSQL_TYPE_LONGLONG;
      binds[i].buffer = const_cast<uint64_t*>(column.numbers.data() + begin);
    }
  }
  const auto count = static_cast<unsigned int>(end - begin);
  mysql_stmt_attr_set(statement_, STMT_ATTR_ARRAY_SIZE, &count);
  if (mysql_stmt_bind_param(statement_, binds.data()) != 0) return Failed();
  if (mysql_stmt_execute(statement_) != 0) return Failed();
  return {};
}

Status MysqlStatement::BindColumns() {
  std::vector<MYSQL_BIND> binds(columns_.size());
  for (size_t i = 0; i < columns_.size(); ++i) {
    Column& column = columns_[i];
    binds[i].length = &column.length;
    if (column.is_text) {
      binds[i].buffer_type = MYSQL_TYPE_STRING;
      binds[i].buffer = column.text.data();
      binds[i].buffer_length = column.text.size();
    } else {
      binds[i].buffer_type = MYSQL_TYPE_LONGLONG;
      binds[i].buffer = &column.number;
      binds[i].is_unsigned = true;
    }
  }
  if (mysql_stmt_bind_result(statement_, binds.data()) != 0) return Failed();
  return {};
}

Result<bool> MysqlStatement::Fetch() {
  if (columns_.empty()) return false;
  const int result = mysql_stmt_fetch(statement_);
  if (result == MYSQL_NO_DATA) {
    mysql_stmt_free_result(statement_);
    return false;
  }
  if (result != 0 && result != MYSQL_DATA_TRUNCATED) return Failed();
  bool grown = false;
  for (size_t i = 0; i < columns_.size(); ++i) {
    Column& column = columns_[i];
    if (!column.is_text || column.length <= column.text.size()) continue;
    column.text.resize(std::max<size_t>(column.length, column.text.size() * 2));
    MYSQL_BIND bind{};
    bind.buffer_type = MYSQL_TYPE_STRING;
    bind.buffer = column.text.data();
    bind.buffer_length = column.text.size();
    bind.length = &column.length;
    if (mysql_stmt_fetch_column(statement_, &bind, static_cast<unsigned int>(i), 0) != 0) return Failed();
    grown = true;
  }
  // The library copied the addresses of the old buffers.
  if (grown) {
    const auto lengths = [this] {
      std::vector<unsigned long> all;
      all.reserve(columns_.size());
      for (const Column& column : columns_) all.push_back(column.length);
      return all;
    }();
    if (Status bound = BindColumns(); !bound) return Fail(bound.error());
    for (size_t i = 0; i < columns_.size(); ++i) columns_[i].length = lengths[i];
  }
  return true;
}

std::string MysqlStatement::Shown(size_t column) const {
  return columns_[column].is_text ? std::string(Text(column)) : format("{}", Signed(column));
}
uint64_t MysqlStatement::affected_rows() const { return mysql_stmt_affected_rows(statement_); }
uint64_t MysqlStatement::insert_id() const { return mysql_stmt_insert_id(statement_); }

std::unexpected<Error> MysqlStatement::Failed() {
  return connection_.Failed(mysql_stmt_errno(statement_), mysql_stmt_error(statement_));
}

}  // namespace mi::store
