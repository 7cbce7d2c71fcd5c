// SELECT or UPDATE ... WHERE key IN (?, ...) over many keys, some hundred a statement: at one key a statement the way
// there and back costs more than the look-up.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/format.h"
#include "store/mysql_connection.h"

namespace mi::store {

// `before` ends with "IN", `after` follows the list; both are constants of ours. bind(i, statement) binds key i of
// `count`; visit(statement) sees each row, and gives a Status.
template <typename Bind, typename Visit>
Status SelectIn(MysqlConnection& connection, std::string_view before, std::string_view after, size_t count, Bind bind,
                Visit visit) {
  // Two statements, prepared once each. The many are below 1,000: from there on MariaDB makes a temporary table.
  constexpr size_t kMany = 500;
  constexpr size_t kFew = 20;
  for (size_t begin = 0; begin < count;) {
    const size_t left = count - begin;
    const size_t keys = left <= kFew ? kFew : kMany;
    std::string sql = format("{} (?", before);
    for (size_t i = 1; i < keys; ++i) sql += ", ?";
    sql += format(") {}", after);
    Result<MysqlStatement*> select = connection.Prepare(sql);
    if (!select) return Fail(select.error());
    // The last key stands for the ones that are missing.
    for (size_t i = 0; i < keys; ++i) bind(begin + std::min(i, left - 1), **select);
    if (Status run = (*select)->Run(); !run) return run;
    for (;;) {
      const Result<bool> row = (*select)->Fetch();
      if (!row) return Fail(row.error());
      if (!*row) break;
      if (Status visited = visit(**select); !visited) return visited;
    }
    begin += std::min(keys, left);
  }
  return {};
}

}  // namespace mi::store
