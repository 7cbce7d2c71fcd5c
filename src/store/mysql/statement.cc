#include "store/mysql/statement.h"

#include <mysql.h>

#include <cassert>
#include <utility>

#include "base/fatal.h"
#include "store/mysql/connection.h"

namespace mi::store {
namespace {

struct FreeResult {
  void operator()(MYSQL_RES* result) const { mysql_free_result(result); }
};
using Fields = std::unique_ptr<MYSQL_RES, FreeResult>;  // the columns of a statement

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
  const Fields fields(mysql_stmt_result_metadata(handle_.get()));
  if (fields == nullptr) return {};
  for (unsigned int i = 0; i < mysql_num_fields(fields.get()); ++i) {
    columns_.push_back({.is_text = !IsInteger(mysql_fetch_field_direct(fields.get(), i)->type)});
  }
  const my_bool wanted = 1;
  mysql_stmt_attr_set(handle_.get(), STMT_ATTR_UPDATE_MAX_LENGTH, &wanted);
  return {};
}

// The parameters leave parameters_ at once, so a run that fails leaves none behind for the next. Their texts are
// borrowed and stay where they are: the library reads them in mysql_stmt_execute and not later. The whole answer is
// stored in this process. So a caller may leave rows unread: the connection is free for other statements, and the next
// Run frees them.
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
  if (mysql_stmt_store_result(handle_.get()) != 0) return Failed();
  return BindColumns();
}

// The library copies each column of a row into a buffer. Once it has the whole answer it knows the longest text of each
// column (STMT_ATTR_UPDATE_MAX_LENGTH), so that every row fits.
Status MysqlStatement::BindColumns() {
  const Fields fields(mysql_stmt_result_metadata(handle_.get()));
  if (fields == nullptr) OutOfMemory();
  std::vector<MYSQL_BIND> binds;
  for (unsigned int i = 0; i < columns_.size(); ++i) {
    Column& column = columns_[i];
    if (column.is_text) {
      column.text.resize(mysql_fetch_field_direct(fields.get(), i)->max_length);
      binds.push_back(TextBind(column.text.data(), column.text.size(), &column.length));
    } else {
      binds.push_back(NumberBind(&column.number, true));
      binds.back().length = &column.length;
    }
  }
  if (mysql_stmt_bind_result(handle_.get(), binds.data()) != 0) return Failed();
  return {};
}

Result<bool> MysqlStatement::Fetch() {
  if (columns_.empty()) return false;
  const int result = mysql_stmt_fetch(handle_.get());
  if (result == MYSQL_NO_DATA) {
    mysql_stmt_free_result(handle_.get());
    return false;
  }
  // "Truncated" is a negative number, which is bound as unsigned: its bits are right.
  if (result != 0 && result != MYSQL_DATA_TRUNCATED) return Failed();
  return true;
}

uint64_t MysqlStatement::affected_rows() const { return mysql_stmt_affected_rows(handle_.get()); }
uint64_t MysqlStatement::insert_id() const { return mysql_stmt_insert_id(handle_.get()); }

std::unexpected<Error> MysqlStatement::Failed() {
  return connection_.Failed(mysql_stmt_errno(handle_.get()), mysql_stmt_error(handle_.get()));
}

}  // namespace mi::store
