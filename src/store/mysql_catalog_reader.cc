#include "store/mysql_catalog_reader.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/format.h"

namespace mi::store {
namespace {

constexpr uint64_t kPageRows = 10'000;
constexpr std::string_view kSelectSeries =
    "SELECT STRAIGHT_JOIN m.id, b.tenant, m.metric, m.fingerprint, s.first_seen, s.last_seen "
    "FROM metric m FORCE INDEX (PRIMARY) JOIN metric_seen s ON s.metric_id = m.id "
    "JOIN metric_basic_label b ON b.id = m.metric_basic_label_id WHERE m.id > ?";
constexpr uint64_t kCountedAtOnce = 1'000'000;  // ids; some 0.2 s

Result<model::Fingerprint> FingerprintAt(const MysqlStatement& row, size_t column) {
  const std::string_view bytes = row.Text(column);
  if (bytes.size() == 16) return model::Fingerprint::FromBytes(bytes);
  return Fail(Errc::kCorrupt, format("metric {}: its fingerprint has {} bytes, not 16", row.Number(0), bytes.size()));
}

// A row of the statements that give whole series.
Result<bool> Show(const MysqlStatement& row, const std::function<bool(const StoredSeries&)>& visit) {
  const Result<model::Fingerprint> fingerprint = FingerprintAt(row, 3);
  if (!fingerprint) return Fail(fingerprint.error());
  return visit({.id = row.Number(0),
                .tenant = row.Text(1),
                .content = row.Text(2),
                .fingerprint = *fingerprint,
                .first_seen_ms = row.Signed(4),
                .last_seen_ms = row.Signed(5)});
}

Status RunOne(MysqlStatement& statement) {
  if (Status run = statement.Run(); !run) return run;
  const Result<bool> row = statement.Fetch();
  if (!row) return Fail(row.error());
  if (*row) return {};
  return Fail(Errc::kCorrupt, "schema_version has no row: restore a backup");
}

}  // namespace

Result<CatalogState> MysqlCatalogReader::State() {
  Result<MysqlLease> connection = pool_->Take();
  if (!connection) return Fail(connection.error());
  Result<MysqlStatement*> select =
      (*connection)
          ->Prepare(
              "SELECT catalog_uuid, CAST((SELECT COALESCE(MAX(id), 0) FROM metric) AS UNSIGNED), "
              "CAST((SELECT COALESCE(MAX(changed), 0) FROM metric_seen) AS UNSIGNED) FROM schema_version");
  if (!select) return Fail(select.error());
  if (Status run = RunOne(**select); !run) return Fail(run.error());
  return CatalogState{
      .uuid = std::string((*select)->Text(0)), .highest_id = (*select)->Number(1), .seen_mark = (*select)->Number(2)};
}

Result<uint64_t> MysqlCatalogReader::CountSeries(uint64_t up_to_id) {
  const Result<CatalogState> state = State();
  if (!state) return Fail(state.error());
  Result<MysqlLease> connection = pool_->Take();
  if (!connection) return Fail(connection.error());
  Result<MysqlStatement*> count =
      (*connection)
          ->Prepare("SELECT COUNT(*) FROM metric_seen FORCE INDEX (PRIMARY) WHERE metric_id > ? AND metric_id <= ?");
  if (!count) return Fail(count.error());
  // In slices: one statement over a hundred million rows would take longer than a statement may.
  const uint64_t last = std::min(up_to_id, state->highest_id);
  uint64_t series = 0;
  for (uint64_t after = 0; after < last; after += kCountedAtOnce) {
    (*count)->Bind(after).Bind(std::min(after + kCountedAtOnce, last));
    if (Status run = RunOne(**count); !run) return Fail(run.error());
    series += (*count)->Number(0);
  }
  return series;
}

Result<bool> MysqlCatalogReader::ReadPages(std::string_view sql, uint64_t after, std::span<const IdRange> ranges,
                                           const std::function<Result<bool>(const MysqlStatement& row)>& visit) {
  Result<MysqlLease> connection = pool_->Take();
  if (!connection) return Fail(connection.error());
  Result<MysqlStatement*> select = (*connection)->Prepare(sql);
  if (!select) return Fail(select.error());
  for (;;) {
    (*select)->Bind(after);
    for (const IdRange& range : ranges) (*select)->Bind(range.first).Bind(range.last);
    if (Status run = (*select)->Bind(kPageRows).Run(); !run) return Fail(run.error());
    uint64_t rows = 0;
    for (;; ++rows) {
      const Result<bool> row = (*select)->Fetch();
      if (!row) return Fail(row.error());
      if (!*row) break;
      after = (*select)->Number(0);
      const Result<bool> more = visit(**select);
      if (!more || !*more) return more;
    }
    if (rows < kPageRows) return true;
  }
}

Status MysqlCatalogReader::ReadSeries(uint64_t after_id, const std::function<bool(const StoredSeries&)>& visit) {
  const Result<bool> read = ReadPages(format("{} ORDER BY m.id LIMIT ?", kSelectSeries), after_id, {},
                                      [&](const MysqlStatement& row) { return Show(row, visit); });
  return read ? Status() : Fail(read.error());
}

Status MysqlCatalogReader::ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t)>& visit) {
  const Result<bool> read = ReadPages(
      "SELECT STRAIGHT_JOIN m.id, m.fingerprint, s.last_seen FROM metric m FORCE INDEX (PRIMARY) "
      "JOIN metric_seen s ON s.metric_id = m.id WHERE m.id > ? ORDER BY m.id LIMIT ?",
      0, {}, [&](const MysqlStatement& row) -> Result<bool> {
        const Result<model::Fingerprint> fingerprint = FingerprintAt(row, 1);
        if (!fingerprint) return Fail(fingerprint.error());
        return visit(*fingerprint, row.Signed(2));
      });
  return read ? Status() : Fail(read.error());
}

Status MysqlCatalogReader::ReadSeriesIn(std::span<const IdRange> ranges,
                                        const std::function<bool(const StoredSeries&)>& visit) {
  // Two statements, prepared once each: mostly there are few.
  constexpr size_t kMany = 50;
  constexpr size_t kFew = 4;
  while (!ranges.empty()) {
    const size_t asked = ranges.size() <= kFew ? kFew : kMany;
    std::vector<IdRange> now(ranges.begin(), ranges.begin() + static_cast<ptrdiff_t>(std::min(asked, ranges.size())));
    ranges = ranges.subspan(now.size());
    now.resize(asked, now.back());  // the last one stands for those that are missing
    std::string sql = format("{} AND (m.id BETWEEN ? AND ?", kSelectSeries);
    for (size_t i = 1; i < asked; ++i) sql += " OR m.id BETWEEN ? AND ?";
    sql += ") ORDER BY m.id LIMIT ?";
    const Result<bool> more = ReadPages(sql, 0, now, [&](const MysqlStatement& row) { return Show(row, visit); });
    if (!more) return Fail(more.error());
    if (!*more) break;
  }
  return {};
}

Result<uint64_t> MysqlCatalogReader::ReadSeenChanges(uint64_t since,
                                                     const std::function<void(const SeenUpdate&)>& visit) {
  const Result<CatalogState> state = State();
  if (!state) return Fail(state.error());
  Result<MysqlLease> connection = pool_->Take();
  if (!connection) return Fail(connection.error());
  // Rows that are written meanwhile move above it, and are for the next call.
  const uint64_t newest = state->seen_mark;
  const auto back = static_cast<uint64_t>(std::chrono::milliseconds(pool_->options().longest_transaction).count());
  const uint64_t from = since - std::min(since, back);
  const uint64_t mark = std::max(since, newest);
  // Nothing has moved since the mark: then only what was committed late can be new below it. It adds to the sum, as a
  // row more or by moving a row up; and what would take from it goes above the mark.
  std::optional<Quiet> quiet;
  if (newest <= since) {
    const Result<uint64_t> sum = SumOfChanged(**connection, from, since);
    if (!sum) return Fail(sum.error());
    quiet = Quiet{since, *sum};
    if (since != 0 && quiet == quiet_) return since;
  }
  if (Status read = ReadChanged(**connection, from, newest, visit); !read) return Fail(read.error());
  quiet_ = quiet;
  return mark;
}

Result<uint64_t> MysqlCatalogReader::SumOfChanged(MysqlConnection& connection, uint64_t from, uint64_t to) {
  Result<MysqlStatement*> sum = connection.Prepare(
      "SELECT CAST(COALESCE(SUM(changed - ? + 1), 0) AS UNSIGNED) FROM metric_seen FORCE INDEX (changed) "
      "WHERE changed >= ? AND changed <= ?");
  if (!sum) return Fail(sum.error());
  (*sum)->Bind(from).Bind(from).Bind(to);
  if (Status run = RunOne(**sum); !run) return Fail(run.error());
  return (*sum)->Number(0);
}

Status MysqlCatalogReader::ReadChanged(MysqlConnection& connection, uint64_t from, uint64_t to,
                                       const std::function<void(const SeenUpdate&)>& visit) {
  Result<MysqlStatement*> select = connection.Prepare(
      "SELECT changed, metric_id, first_seen, last_seen FROM metric_seen FORCE INDEX (changed) "
      "WHERE changed >= ? AND changed <= ? AND (changed > ? OR metric_id > ?) ORDER BY changed, metric_id LIMIT ?");
  if (!select) return Fail(select.error());
  uint64_t id = 0;
  for (uint64_t changed = from;;) {
    (*select)->Bind(changed).Bind(to).Bind(changed).Bind(id).Bind(kPageRows);
    if (Status run = (*select)->Run(); !run) return run;
    uint64_t rows = 0;
    for (;; ++rows) {
      const Result<bool> row = (*select)->Fetch();
      if (!row) return Fail(row.error());
      if (!*row) break;
      changed = (*select)->Number(0);
      id = (*select)->Number(1);
      visit({.id = id, .first_seen_ms = (*select)->Signed(2), .last_seen_ms = (*select)->Signed(3)});
    }
    if (rows < kPageRows) return {};
  }
}

Status MysqlCatalogReader::ReadMetadata(const std::function<bool(const StoredMetadata&)>& visit) {
  Result<MysqlLease> connection = pool_->Take();
  if (!connection) return Fail(connection.error());
  Result<MysqlStatement*> select =
      (*connection)
          ->Prepare(
              "SELECT tenant, metric_family, type, help, unit, hash, last_seen FROM metric_metadata "
              "WHERE hash > ? ORDER BY hash LIMIT ?");
  if (!select) return Fail(select.error());
  for (std::string after;;) {
    if (Status run = (*select)->BindText(after).Bind(kPageRows).Run(); !run) return run;
    uint64_t rows = 0;
    std::string last;
    for (;; ++rows) {
      const Result<bool> row = (*select)->Fetch();
      if (!row) return Fail(row.error());
      if (!*row) break;
      last = (*select)->Text(5);
      Result<model::Tenant> tenant = model::Tenant::Parse((*select)->Text(0));
      if (!tenant) return Fail(Errc::kCorrupt, format("metric_metadata: {}", tenant.error().message()));
      const bool more = visit({.tenant = *std::move(tenant),
                               .metadata = {.family = std::string((*select)->Text(1)),
                                            .type = std::string((*select)->Text(2)),
                                            .help = std::string((*select)->Text(3)),
                                            .unit = std::string((*select)->Text(4))},
                               .last_seen_ms = (*select)->Signed(6)});
      if (!more) return {};
    }
    if (rows < kPageRows) return {};
    after = std::move(last);
  }
}

}  // namespace mi::store
