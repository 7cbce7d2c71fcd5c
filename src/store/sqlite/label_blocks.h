// The rows of metric_label_block: the series that have a label pair, in blocks. One row per call and pair takes the
// place of one row per series and label (docs/formats/sql.md, "SQLite").
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "sqlite/database.h"
#include "store/series_merge.h"
#include "store/sqlite/bulk_insert.h"

namespace mi::store {

// The ids of one block as a JSON array. Each id is the distance to the first one. Three or more ids in a row are
// [from,to]: the ids 7, 8, 9, 10, 12 are "[[0,3],5]".
class IdRuns {
 public:
  // Requires: id is greater than all before, and than 0.
  void Add(uint64_t id);
  // Ends the array. Requires: called once, after at least one Add().
  std::string TakeJson();

  bool empty() const { return first_ == 0; }
  uint64_t first() const { return first_; }
  uint64_t last() const { return to_; }

 private:
  void EndRun();

  uint64_t first_ = 0;
  uint64_t from_ = 0;  // of the run that may still grow
  uint64_t to_ = 0;
  std::string json_;
};

// Threads: confined to one thread. Must not outlive the database.
class LabelBlocks {
 public:
  struct Row {
    uint64_t name, value, first;
    std::string ids;
  };

  static Result<LabelBlocks> Open(sqlite::Database& database);

  // Adds the labels of the new series. Requires: they have ids, and the dictionaries are settled.
  Status Insert(const SeriesMerge& merge);
  Status Insert(std::span<const Row> rows);
  // Adds one series to a pair, if it is not there.
  Status InsertMissing(uint64_t name, uint64_t value, uint64_t series);

 private:
  SqliteBulkInsert insert_;
  sqlite::Statement insert_missing_;
};

// Migrates the rows of a table (metric_label_name_id, metric_label_value_id, metric_id), which is its key, to
// metric_label_block.
Status MakeLabelBlocks(sqlite::Database& database, std::string_view from_table);

}  // namespace mi::store
