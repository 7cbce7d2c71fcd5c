#include "store/mysql/statement.h"

#include <mysql.h>

#include <algorithm>
#include <cassert>

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
  const size_t parameters = mysql_stmt_param_count(handle_.get());
  numbers_.resize(parameters);
  lengths_.resize(parameters);
  bound_as_.resize(parameters);
  const Fields fields(mysql_stmt_result_metadata(handle_.get()));
  if (fields == nullptr) return {};
  for (unsigned int i = 0; i < mysql_num_fields(fields.get()); ++i) {
    columns_.push_back({.is_text = !IsInteger(mysql_fetch_field_direct(fields.get(), i)->type)});
  }
  const my_bool wanted = 1;
  mysql_stmt_attr_set(handle_.get(), STMT_ATTR_UPDATE_MAX_LENGTH, &wanted);
  return {};
}

// No parameter is left for the next run, also if this one fails. Their texts are borrowed and stay where they are: the
// library reads them in mysql_stmt_execute and not later. The whole answer is stored in this process. So a caller may
// leave rows unread: the connection is free for other statements, and the next Run frees them.
Status MysqlStatement::Run() {
  mysql_stmt_free_result(handle_.get());
  const bool ran = BindParameters() && mysql_stmt_execute(handle_.get()) == 0;
  parameters_.clear();
  if (!ran) {
    std::ranges::fill(bound_as_, BoundAs::kNothing);  // the server may not have read the types
    return Failed();
  }
  if (columns_.empty()) return {};
  if (mysql_stmt_store_result(handle_.get()) != 0) return Failed();
  return BindColumns();
}

// Telling the library where the parameters are costs more than the numbers themselves, and it then sends all types to
// the server again. So it is told only of texts, which are elsewhere each time, and of numbers of another type.
bool MysqlStatement::BindParameters() {
  assert(parameters_.size() == numbers_.size());
  bool same = true;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const MysqlValue& parameter = parameters_[i];
    const auto as = parameter.is_text ? BoundAs::kText : parameter.is_signed ? BoundAs::kSigned : BoundAs::kUnsigned;
    same = same && !parameter.is_text && as == bound_as_[i];
    bound_as_[i] = as;
    numbers_[i] = parameter.number;
    lengths_[i] = parameter.text.size();
  }
  if (same) return true;
  std::vector<MYSQL_BIND> binds(parameters_.size());
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const MysqlValue& parameter = parameters_[i];
    binds[i] = parameter.is_text ? TextBind(parameter.text.data(), lengths_[i], &lengths_[i])
                                 : NumberBind(&numbers_[i], !parameter.is_signed);
  }
  return mysql_stmt_bind_param(handle_.get(), binds.data()) == 0;
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
