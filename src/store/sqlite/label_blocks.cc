#include "store/sqlite/label_blocks.h"

#include <algorithm>
#include <cassert>
#include <tuple>
#include <utility>
#include <vector>

#include "base/format.h"

namespace mi::store {
namespace {

// The ids of one block are from a range of this size: people who look for one series read blocks of this size.
constexpr uint64_t kIdsPerBlock = 10'000;

}  // namespace

void IdRuns::Add(uint64_t id) {
  assert(id > to_);
  if (first_ == 0) {
    first_ = from_ = id;
  } else if (id != to_ + 1) {
    EndRun();
    from_ = id;
  }
  to_ = id;
}

void IdRuns::EndRun() {
  json_ += json_.empty() ? '[' : ',';
  const uint64_t from = from_ - first_;
  const uint64_t to = to_ - first_;
  if (to - from >= 2) {
    AppendFormat(json_, "[{},{}]", from, to);
  } else if (to > from) {
    AppendFormat(json_, "{},{}", from, to);
  } else {
    AppendFormat(json_, "{}", from);
  }
}

std::string IdRuns::TakeJson() {
  assert(!empty());
  EndRun();
  json_ += ']';
  return std::move(json_);
}

Result<LabelBlocks> LabelBlocks::Open(sqlite::Database& database) {
  LabelBlocks blocks;
  blocks.insert_ = TRY(SqliteBulkInsert::Open(
      database, "metric_label_block (metric_label_name_id, metric_label_value_id, first_metric_id, metric_ids)"));
  // REPLACE: a block that begins with the series and does not have it is damaged. The service uses no view: its text in
  // the file may be damaged, too.
  blocks.insert_missing_ = TRY(database.Prepare(
      "INSERT OR REPLACE INTO metric_label_block (metric_label_name_id, metric_label_value_id, first_metric_id, "
      "metric_ids) SELECT ?1, ?2, ?3, '[0]' WHERE NOT EXISTS (SELECT 1 FROM metric_label_block b "
      "JOIN json_each(iif(json_valid(b.metric_ids), b.metric_ids, '[]')) j WHERE b.metric_label_name_id = ?1 "
      "AND b.metric_label_value_id = ?2 AND b.first_metric_id <= ?3 AND ?3 - b.first_metric_id BETWEEN "
      "iif(j.type = 'array', json_extract(j.value, '$[0]'), j.value) AND "
      "iif(j.type = 'array', json_extract(j.value, '$[1]'), j.value))"));
  return blocks;
}

// Groups the labels of all series by pair, without sorting them: the series ascend by id, so each pair gets its ids in
// order.
Status LabelBlocks::Insert(const SeriesMerge& merge) {
  std::vector<IdRuns> ids(merge.pair_count());
  for (const NewSeries& series : merge.new_series()) {
    for (const SeriesMerge::PairNumber pair : merge.PairsOf(series)) ids[pair].Add(series.id);
  }
  std::vector<Row> rows;
  rows.reserve(ids.size());
  for (SeriesMerge::PairNumber pair = 0; pair < ids.size(); ++pair) {
    if (ids[pair].empty()) continue;  // only healed series have it
    const auto [name, value] = merge.IdsOf(pair);
    const uint64_t first = ids[pair].first();
    rows.push_back({name, value, first, ids[pair].TakeJson()});
  }
  std::ranges::sort(rows, {}, [](const Row& row) { return std::tuple(row.name, row.value); });
  return Insert(rows);
}

Status LabelBlocks::Insert(std::span<const Row> rows) {
  return insert_.Insert(rows.size(), [&](size_t i, sqlite::Statement& insert, int at) {
    insert.Bind(at, static_cast<int64_t>(rows[i].name)).Bind(at + 1, static_cast<int64_t>(rows[i].value));
    insert.Bind(at + 2, static_cast<int64_t>(rows[i].first)).BindText(at + 3, rows[i].ids);
  });
}

Status LabelBlocks::InsertMissing(uint64_t name, uint64_t value, uint64_t series) {
  insert_missing_.Bind(1, static_cast<int64_t>(name)).Bind(2, static_cast<int64_t>(value));
  return insert_missing_.Bind(3, static_cast<int64_t>(series)).Run();
}

// Reads the old rows in the order of their key, which is also the order of the blocks. So it needs little memory and no
// sorting, whatever the size of the catalogue.
Status MakeLabelBlocks(sqlite::Database& database, std::string_view from_table) {
  constexpr size_t kRowsPerInsert = 1'000;
  LabelBlocks blocks;
  blocks = TRY(LabelBlocks::Open(database));
  sqlite::Statement postings = TRY(database.Prepare(
      format("SELECT metric_label_name_id, metric_label_value_id, metric_id FROM {} ORDER BY 1, 2, 3", from_table)));
  std::vector<LabelBlocks::Row> rows;
  IdRuns ids;
  std::pair<int64_t, int64_t> pair;
  const auto end_block = [&] {
    if (ids.empty()) return;
    const uint64_t first = ids.first();
    rows.push_back({static_cast<uint64_t>(pair.first), static_cast<uint64_t>(pair.second), first, ids.TakeJson()});
    ids = {};
  };
  while (TRY(postings.Step())) {
    const std::pair<int64_t, int64_t> next{postings.Int(0), postings.Int(1)};
    if (postings.Int(2) < 1) continue;  // no series has such an id: the row is damaged
    const auto id = static_cast<uint64_t>(postings.Int(2));
    if (next != pair || id <= ids.last() || id >= ids.first() + kIdsPerBlock) end_block();
    if (rows.size() >= kRowsPerInsert) {
      TRY(blocks.Insert(rows));
      rows.clear();
    }
    pair = next;
    ids.Add(id);
  }
  end_block();
  return blocks.Insert(rows);
}

}  // namespace mi::store
