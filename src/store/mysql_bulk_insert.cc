// MysqlConnection::Insert: many rows a statement.
#include <algorithm>
#include <array>

#include "base/format.h"
#include "store/mysql_connection.h"

namespace mi::store {
namespace {

// Rows a multi-row INSERT, the largest first: each number is a statement that is prepared once.
constexpr std::array<size_t, 3> kMultiRows = {128, 16, 1};
constexpr size_t kArrayRows = 4'096;
constexpr uint64_t kMostPacketBytes = 4 << 20;  // more a packet is not faster

std::string InsertSql(std::string_view into, size_t columns, size_t rows, std::string_view suffix) {
  std::string row = "(?";
  for (size_t i = 1; i < columns; ++i) row += ", ?";
  row += ")";
  std::string sql = format("INSERT INTO {} VALUES {}", into, row);
  for (size_t i = 1; i < rows; ++i) sql += ", " + row;
  if (!suffix.empty()) sql += format(" {}", suffix);
  return sql;
}

}  // namespace

Result<size_t> MysqlConnection::ChunkEnd(const MysqlRows& rows, size_t begin, size_t max_rows) const {
  constexpr size_t kHeaderBytes = 4'096;
  const uint64_t limit = std::min(kMostPacketBytes, max_packet_bytes_) - kHeaderBytes;
  size_t end = begin;
  for (size_t bytes = 0; end < rows.size() && end - begin < max_rows; ++end) {
    bytes += rows.RowBytes(end);
    if (bytes <= limit) continue;
    if (end > begin) break;
    if (bytes <= max_packet_bytes_ - kHeaderBytes) continue;  // a large row goes alone
    return Fail(Errc::kTooLarge, format("a row is {}, the database takes {} (max_allowed_packet on {})",
                                        FormatBytes(bytes), FormatBytes(max_packet_bytes_), AddressOf(options_)));
  }
  return end;
}

Status MysqlConnection::Insert(std::string_view into, const MysqlRows& rows, std::string_view suffix) {
  return takes_arrays_ ? InsertArrays(into, rows, suffix) : InsertMultiRow(into, rows, suffix);
}

Status MysqlConnection::InsertArrays(std::string_view into, const MysqlRows& rows, std::string_view suffix) {
  if (rows.size() == 0) return {};
  Result<MysqlStatement*> insert = Prepare(InsertSql(into, rows.columns().size(), 1, suffix));
  if (!insert) return Fail(insert.error());
  for (size_t begin = 0; begin < rows.size();) {
    const Result<size_t> end = ChunkEnd(rows, begin, kArrayRows);
    if (!end) return Fail(end.error());
    if (Status run = (*insert)->RunArrays(rows, begin, *end); !run) return run;
    begin = *end;
  }
  return {};
}

Status MysqlConnection::InsertMultiRow(std::string_view into, const MysqlRows& rows, std::string_view suffix) {
  for (size_t begin = 0; begin < rows.size();) {
    const Result<size_t> most = ChunkEnd(rows, begin, kMultiRows.front());
    if (!most) return Fail(most.error());
    const size_t count = *std::ranges::find_if(kMultiRows, [&](size_t n) { return n <= *most - begin; });
    Result<MysqlStatement*> insert = Prepare(InsertSql(into, rows.columns().size(), count, suffix));
    if (!insert) return Fail(insert.error());
    for (size_t row = begin; row < begin + count; ++row) {
      for (const MysqlColumn& column : rows.columns()) {
        if (column.is_text) {
          (*insert)->BindText({column.texts[row], column.lengths[row]});
        } else {
          (*insert)->Bind(static_cast<int64_t>(column.numbers[row]));
        }
      }
    }
    if (Status run = (*insert)->Run(); !run) return run;
    begin += count;
  }
  return {};
}

}  // namespace mi::store
