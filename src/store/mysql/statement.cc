#include "store/mysql/statement.h"

#include <mysql.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/fatal.h"
#include "store/mysql/connection.h"

namespace mi::store {
namespace {

constexpr size_t kFirstTextBytes = 512;  // of a column's buffer, which grows

bool IsInteger(enum_field_types type) {
  switch (type) {
    case MYSQL_TYPE_TINY:
    case MYSQL_TYPE_SHORT:
    case MYSQL_TYPE_INT24:
    case MYSQL_TYPE_LONG:
    case MYSQL_TYPE_LONGLONG: return true;
    default: return false;
  }
}

st_mysql_stmt* NewStatement(st_mysql* connection) {
  st_mysql_stmt* statement = mysql_stmt_init(connection);
  if (statement == nullptr) OutOfMemory();
  return statement;
}

MYSQL_BIND TextBind(const char* buffer, size_t size, unsigned long* length) {
  MYSQL_BIND bind{};
  bind.buffer_type = MYSQL_TYPE_STRING;
  bind.buffer = const_cast<char*>(buffer);
  bind.buffer_length = size;
  bind.length = length;
  return bind;
}

MYSQL_BIND NumberBind(const uint64_t* number, bool is_unsigned) {
  MYSQL_BIND bind{};
  bind.buffer_type = MYSQL_TYPE_LONGLONG;
  bind.buffer = const_cast<uint64_t*>(number);
  bind.is_unsigned = is_unsigned;
  return bind;
}

}  // namespace

void MysqlStatement::Close::operator()(st_mysql_stmt* statement) const { mysql_stmt_close(statement); }

MysqlStatement::MysqlStatement(MysqlConnection& connection)
    : connection_(connection), handle_(NewStatement(connection.handle_.get())) {}

Status MysqlStatement::Prepare(std::string_view sql) {
  if (mysql_stmt_prepare(handle_.get(), sql.data(), sql.size()) != 0) return Failed();
  const std::unique_ptr<MYSQL_RES, decltype(&mysql_free_result)> fields(mysql_stmt_result_metadata(handle_.get()),
                                                                        &mysql_free_result);
  if (fields == nullptr) return {};
  for (unsigned int i = 0; i < mysql_num_fields(fields.get()); ++i) {
    Column& column = columns_.emplace_back();
    column.is_text = !IsInteger(mysql_fetch_field_direct(fields.get(), i)->type);
    if (column.is_text) column.text.resize(kFirstTextBytes);
  }
  return {};
}

Status MysqlStatement::Run() {
  const std::vector<MysqlValue> parameters = std::exchange(parameters_, {});
  assert(parameters.size() == mysql_stmt_param_count(handle_.get()));
  mysql_stmt_free_result(handle_.get());
  std::vector<MYSQL_BIND> binds(parameters.size());
  std::vector<unsigned long> lengths(parameters.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    const MysqlValue& parameter = parameters[i];
    if (parameter.is_text) {
      lengths[i] = parameter.text.size();
      binds[i] = TextBind(parameter.text.data(), lengths[i], &lengths[i]);
    } else {
      binds[i] = NumberBind(&parameter.number, !parameter.is_signed);
    }
  }
  if (!binds.empty() && mysql_stmt_bind_param(handle_.get(), binds.data()) != 0) return Failed();
  if (mysql_stmt_execute(handle_.get()) != 0) return Failed();
  if (columns_.empty()) return {};
  TRY(BindColumns());
  if (mysql_stmt_store_result(handle_.get()) != 0) return Failed();
  return {};
}

Status MysqlStatement::BindColumns() {
  std::vector<MYSQL_BIND> binds;
  for (Column& column : columns_) {
    if (column.is_text) {
      binds.push_back(TextBind(column.text.data(), column.text.size(), &column.length));
    } else {
      binds.push_back(NumberBind(&column.number, true));
      binds.back().length = &column.length;
    }
  }
  if (mysql_stmt_bind_result(handle_.get(), binds.data()) != 0) return Failed();
  return {};
}

// The library copies each column into the buffer that BindColumns gave it, and tells the full length. If a text is
// longer than its buffer, the buffer grows, the column is fetched again, and the new addresses are bound for the next
// row.
Result<bool> MysqlStatement::Fetch() {
  if (columns_.empty()) return false;
  const int result = mysql_stmt_fetch(handle_.get());
  if (result == MYSQL_NO_DATA) {
    mysql_stmt_free_result(handle_.get());
    return false;
  }
  if (result != 0 && result != MYSQL_DATA_TRUNCATED) return Failed();
  bool grown = false;
  for (size_t i = 0; i < columns_.size(); ++i) {
    Column& column = columns_[i];
    if (!column.is_text || column.length <= column.text.size()) continue;
    column.text.resize(std::max<size_t>(column.length, column.text.size() * 2));
    MYSQL_BIND bind = TextBind(column.text.data(), column.text.size(), &column.length);
    if (mysql_stmt_fetch_column(handle_.get(), &bind, static_cast<unsigned int>(i), 0) != 0) return Failed();
    grown = true;
  }
  if (grown) {
    std::vector<unsigned long> lengths;  // binding overwrites them
    for (const Column& column : columns_) lengths.push_back(column.length);
    TRY(BindColumns());
    for (size_t i = 0; i < columns_.size(); ++i) columns_[i].length = lengths[i];
  }
  return true;
}

uint64_t MysqlStatement::affected_rows() const { return mysql_stmt_affected_rows(handle_.get()); }
uint64_t MysqlStatement::insert_id() const { return mysql_stmt_insert_id(handle_.get()); }

std::unexpected<Error> MysqlStatement::Failed() {
  return connection_.Failed(mysql_stmt_errno(handle_.get()), mysql_stmt_error(handle_.get()));
}

}  // namespace mi::store
