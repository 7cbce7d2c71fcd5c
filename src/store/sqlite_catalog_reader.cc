#include "store/sqlite_catalog_reader.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/format.h"

namespace mi::store {
namespace {

// A slice takes some 10 ms; until it ends the WAL cannot be begun anew.
constexpr int64_t kSliceRows = 10'000;

int64_t RowIdOf(uint64_t id) { return static_cast<int64_t>(std::min(id, uint64_t{INT64_MAX})); }

// Steps through a statement over (id > ?1 ORDER BY id LIMIT ?2), slice by slice. `visit` gives false to end it.
template <typename Visit>
Status ReadSlices(sqlite::Statement& select, int64_t after_id, Visit visit) {
  for (;;) {
    int64_t rows = 0;
    select.Bind(1, after_id).Bind(2, kSliceRows);
    for (;;) {
      const Result<bool> row = select.Step();
      if (!row) return Fail(row.error());
      if (!*row) break;
      ++rows;
      after_id = select.Int(0);
      if (!visit(select)) {
        select.Reset();
        return {};
      }
    }
    if (rows < kSliceRows) return {};
  }
}

Result<model::Fingerprint> FingerprintAt(const sqlite::Statement& row, int column) {
  const std::string_view bytes = row.Blob(column);
  if (bytes.size() == 16) return model::Fingerprint::FromBytes(bytes);
  return Fail(Errc::kCorrupt, format("metric {}: its fingerprint has {} bytes, not 16", row.Int(0), bytes.size()));
}

// Visits a row of the statements that give whole series; false to end, with the reason in `status` if it is a bad row.
bool Show(const sqlite::Statement& row, const std::function<bool(const StoredSeries&)>& visit, Status& status) {
  const Result<model::Fingerprint> fingerprint = FingerprintAt(row, 3);
  if (!fingerprint) {
    status = Fail(fingerprint.error());
    return false;
  }
  return visit({.id = static_cast<uint64_t>(row.Int(0)),
                .tenant = row.Text(1),
                .content = row.Text(2),
                .fingerprint = *fingerprint,
                .first_seen_ms = row.Int(4),
                .last_seen_ms = row.Int(5)});
}

}  // namespace

Result<std::unique_ptr<CatalogReader>> SqliteCatalogReader::Create(sqlite::Database database) {
  std::unique_ptr<SqliteCatalogReader> reader(new SqliteCatalogReader(std::move(database)));
  const Status prepared = reader->database_.PrepareEach({
      {reader->state_, "SELECT (SELECT catalog_uuid FROM schema_version), (SELECT max(id) FROM metric)"},
      // metric_seen has a row a series and is the smallest table to count.
      {reader->count_, "SELECT count(*) FROM metric_seen WHERE metric_id <= ?"},
      {reader->series_,
       "SELECT m.id, b.tenant, m.metric, m.fingerprint, s.first_seen, s.last_seen FROM metric m "
       "JOIN metric_seen s ON s.metric_id = m.id JOIN metric_basic_label b ON b.id = m.metric_basic_label_id "
       "WHERE m.id > ?1 AND m.id <= ?3 ORDER BY m.id LIMIT ?2"},
      {reader->seen_,
       "SELECT metric_id, first_seen, last_seen FROM metric_seen WHERE metric_id > ?1 ORDER BY metric_id LIMIT ?2"},
      {reader->fingerprints_,
       "SELECT m.id, m.fingerprint, s.last_seen FROM metric m JOIN metric_seen s ON s.metric_id = m.id "
       "WHERE m.id > ?1 ORDER BY m.id LIMIT ?2"},
      {reader->metadata_, "SELECT tenant, metric_family, type, help, unit, last_seen FROM metric_metadata"},
  });
  if (!prepared) return Fail(prepared.error());
  return reader;
}

Result<CatalogState> SqliteCatalogReader::State() {
  const Result<bool> row = state_.Step();
  if (!row) return Fail(row.error());
  CatalogState state{.uuid = std::string(state_.Text(0)), .highest_id = static_cast<uint64_t>(state_.Int(1))};
  state_.Reset();
  return state;
}

Result<uint64_t> SqliteCatalogReader::CountSeries(uint64_t up_to_id) {
  const Result<bool> row = count_.Bind(1, RowIdOf(up_to_id)).Step();
  if (!row) return Fail(row.error());
  const auto count = static_cast<uint64_t>(count_.Int(0));
  count_.Reset();
  return count;
}

Result<bool> SqliteCatalogReader::ReadSeriesUpTo(uint64_t after_id, uint64_t last_id,
                                                 const std::function<bool(const StoredSeries&)>& visit) {
  Status status;
  bool more = true;
  series_.Bind(3, RowIdOf(last_id));
  const Status read = ReadSlices(series_, RowIdOf(after_id),
                                 [&](const sqlite::Statement& row) { return more = Show(row, visit, status); });
  if (!read) return Fail(read.error());
  if (!status) return Fail(status.error());
  return more;
}

Status SqliteCatalogReader::ReadSeries(uint64_t after_id, const std::function<bool(const StoredSeries&)>& visit) {
  const Result<bool> read = ReadSeriesUpTo(after_id, UINT64_MAX, visit);
  return read ? Status() : Fail(read.error());
}

Status SqliteCatalogReader::ReadSeriesIn(std::span<const IdRange> ranges,
                                         const std::function<bool(const StoredSeries&)>& visit) {
  for (const IdRange& range : ranges) {
    const Result<bool> more = ReadSeriesUpTo(range.first - std::min<uint64_t>(range.first, 1), range.last, visit);
    if (!more) return Fail(more.error());
    if (!*more) break;
  }
  return {};
}

Result<uint64_t> SqliteCatalogReader::ReadSeenChanges(uint64_t /*since*/,
                                                      const std::function<void(const SeenUpdate&)>& visit) {
  const Status read = ReadSlices(seen_, 0, [&](const sqlite::Statement& row) {
    visit({.id = static_cast<uint64_t>(row.Int(0)), .first_seen_ms = row.Int(1), .last_seen_ms = row.Int(2)});
    return true;
  });
  if (!read) return Fail(read.error());
  return 0;
}

Status SqliteCatalogReader::ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t)>& visit) {
  Status status;
  Status read = ReadSlices(fingerprints_, 0, [&](const sqlite::Statement& row) {
    const Result<model::Fingerprint> fingerprint = FingerprintAt(row, 1);
    if (!fingerprint) {
      status = Fail(fingerprint.error());
      return false;
    }
    return visit(*fingerprint, row.Int(2));
  });
  return read ? status : read;
}

Status SqliteCatalogReader::ReadMetadata(const std::function<bool(const StoredMetadata&)>& visit) {
  for (;;) {
    const Result<bool> row = metadata_.Step();
    if (!row) return Fail(row.error());
    if (!*row) return {};
    Result<model::Tenant> tenant = model::Tenant::Parse(metadata_.Text(0));
    if (!tenant) {
      metadata_.Reset();
      return Fail(Errc::kCorrupt, format("metric_metadata: {}", tenant.error().message()));
    }
    const bool more = visit({.tenant = *std::move(tenant),
                             .metadata = {.family = std::string(metadata_.Text(1)),
                                          .type = std::string(metadata_.Text(2)),
                                          .help = std::string(metadata_.Text(3)),
                                          .unit = std::string(metadata_.Text(4))},
                             .last_seen_ms = metadata_.Int(5)});
    if (!more) {
      metadata_.Reset();
      return {};
    }
  }
}

}  // namespace mi::store
