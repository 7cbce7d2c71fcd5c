#include "store/sqlite/catalog_reader.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>

#include "base/format.h"
#include "store/rows.h"

namespace mi::store {
namespace {

// A slice takes about 10 ms. Until it ends SQLite cannot start the WAL anew.
constexpr int64_t kSliceRows = 10'000;

int64_t RowIdOf(uint64_t id) { return static_cast<int64_t>(std::min(id, uint64_t{INT64_MAX})); }

// Runs a statement over (id > ?1 ORDER BY id LIMIT ?2), slice by slice. `visit` is a Result<bool>(row), false to end.
// Returns whether the visitor wants more.
// Each slice is a read transaction of its own and begins behind the last id of the slice before, so no row is visited
// twice. Between slices a writer may commit and start the WAL anew. Rows with a greater id that are committed meanwhile
// are visited, too. An id that does not ascend is damaged: rows behind it may have been passed over.
template <typename Visit>
Result<bool> ReadSlices(sqlite::Statement& select, int64_t after_id, Visit visit) {
  for (int64_t rows = kSliceRows; rows == kSliceRows;) {
    rows = 0;
    select.Bind(1, after_id).Bind(2, kSliceRows);
    while (TRY(select.Step())) {
      ++rows;
      if (select.Int(0) <= after_id) {
        const Error damaged(Errc::kCorrupt, format("row {} stands behind row {}", select.Int(0), after_id));
        select.Reset();
        return Fail(damaged);
      }
      after_id = select.Int(0);
      const Result<bool> more = visit(select);
      if (more && *more) continue;
      select.Reset();
      return more;
    }
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<CatalogReader>> SqliteCatalogReader::Create(sqlite::Database database) {
  std::unique_ptr<SqliteCatalogReader> reader(new SqliteCatalogReader(std::move(database)));
  TRY(reader->database_.PrepareEach({
      {reader->state_, "SELECT (SELECT catalog_uuid FROM schema_version), (SELECT max(id) FROM metric)"},
      // metric_seen has one row per series and is the smallest table to count.
      {reader->count_, "SELECT count(*) FROM metric_seen WHERE metric_id <= ?"},
      {reader->series_,
       // A row whose times are lost must not just disappear.
       "SELECT m.id, b.tenant, m.metric, m.fingerprint, s.first_seen, s.last_seen, s.metric_id IS NOT NULL "
       "FROM metric m LEFT JOIN metric_seen s ON s.metric_id = m.id "
       "LEFT JOIN metric_basic_label b ON b.id = m.metric_basic_label_id "
       "WHERE m.id > ?1 AND m.id <= ?3 ORDER BY m.id LIMIT ?2"},
      {reader->seen_,
       "SELECT metric_id, first_seen, last_seen FROM metric_seen WHERE metric_id > ?1 ORDER BY metric_id LIMIT ?2"},
      {reader->fingerprints_,
       "SELECT m.id, m.fingerprint, s.last_seen FROM metric m JOIN metric_seen s ON s.metric_id = m.id "
       "WHERE m.id > ?1 ORDER BY m.id LIMIT ?2"},
      {reader->metadata_, "SELECT tenant, metric_family, type, help, unit, last_seen FROM metric_metadata"},
  }));
  return reader;
}

Result<CatalogState> SqliteCatalogReader::State() {
  TRY(state_.Step());
  CatalogState state{.uuid = std::string(state_.Text(0)), .highest_id = static_cast<uint64_t>(state_.Int(1))};
  state_.Reset();
  return state;
}

Result<uint64_t> SqliteCatalogReader::CountSeries(uint64_t up_to_id) {
  TRY(count_.Bind(1, RowIdOf(up_to_id)).Step());
  const auto count = static_cast<uint64_t>(count_.Int(0));
  count_.Reset();
  return count;
}

Result<bool> SqliteCatalogReader::ReadSeriesUpTo(uint64_t after_id, uint64_t last_id,
                                                 const std::function<bool(const StoredSeries&)>& visit) {
  series_.Bind(3, RowIdOf(last_id));
  return ReadSlices(series_, RowIdOf(after_id), [&](const sqlite::Statement& row) -> Result<bool> {
    StoredSeries series = StoredSeriesOf(row);
    series.has_times = row.Int(6) != 0;
    return visit(series);
  });
}

Status SqliteCatalogReader::ReadSeries(uint64_t after_id, const std::function<bool(const StoredSeries&)>& visit) {
  TRY(ReadSeriesUpTo(after_id, UINT64_MAX, visit));
  return {};
}

Status SqliteCatalogReader::ReadSeriesIn(std::span<const IdRange> ranges,
                                         const std::function<bool(const StoredSeries&)>& visit) {
  assert(AreAscending(ranges));
  for (const IdRange& range : ranges) {
    const bool more = TRY(ReadSeriesUpTo(range.first - std::min<uint64_t>(range.first, 1), range.last, visit));
    if (!more) break;
  }
  return {};
}

Result<uint64_t> SqliteCatalogReader::ReadSeenChanges(uint64_t /*since*/,
                                                      const std::function<void(const SeenUpdate&)>& visit) {
  TRY(ReadSlices(seen_, 0, [&](const sqlite::Statement& row) -> Result<bool> {
    visit({.id = static_cast<uint64_t>(row.Int(0)), .first_seen_ms = row.Int(1), .last_seen_ms = row.Int(2)});
    return true;
  }));
  return 0;
}

Status SqliteCatalogReader::ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t)>& visit) {
  TRY(ReadSlices(fingerprints_, 0, [&](const sqlite::Statement& row) -> Result<bool> {
    return visit(FingerprintAt(row, 1), row.Int(2));
  }));
  return {};
}

Status SqliteCatalogReader::ReadMetadata(const std::function<bool(const StoredMetadata&)>& visit) {
  while (TRY(metadata_.Step())) {
    const Result<StoredMetadata> metadata = StoredMetadataOf(metadata_);
    if (metadata && visit(*metadata)) continue;
    metadata_.Reset();
    return metadata ? Status() : Fail(metadata.error());
  }
  return {};
}

}  // namespace mi::store
