// Rows on their way into a table, column by column: the form in which they are bound as arrays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace mi::store {

struct MysqlColumn {
  bool is_text;
  std::vector<uint64_t> numbers;
  std::vector<const char*> texts;
  std::vector<unsigned long> lengths;
};

// Threads: compatible. Texts are borrowed: they must live until the rows are sent.
class MysqlRows {
 public:
  // One letter a column: n for a number, t for text or bytes.
  explicit MysqlRows(std::string_view kinds) {
    for (const char kind : kinds) columns_.push_back({.is_text = kind == 't'});
  }

  // The columns of a row, in turn.
  MysqlRows& Number(uint64_t number) {
    columns_[next_].numbers.push_back(number);
    return Next();
  }
  MysqlRows& Number(int64_t number) { return Number(static_cast<uint64_t>(number)); }
  MysqlRows& Text(std::string_view text) {
    columns_[next_].texts.push_back(text.empty() ? "" : text.data());
    columns_[next_].lengths.push_back(text.size());
    return Next();
  }

  void Clear() {
    rows_ = next_ = 0;
    for (MysqlColumn& column : columns_) {
      column.numbers.clear();
      column.texts.clear();
      column.lengths.clear();
    }
  }

  size_t size() const { return rows_; }
  const std::vector<MysqlColumn>& columns() const { return columns_; }
  // On the wire, about.
  size_t RowBytes(size_t row) const {
    size_t bytes = 0;
    for (const MysqlColumn& column : columns_) bytes += 10 + (column.is_text ? column.lengths[row] : 0);
    return bytes;
  }

 private:
  MysqlRows& Next() {
    if (++next_ == columns_.size()) {
      next_ = 0;
      ++rows_;
    }
    return *this;
  }

  std::vector<MysqlColumn> columns_;
  size_t next_ = 0;
  size_t rows_ = 0;
};

}  // namespace mi::store
