#include "store/mysql/catalog_reader.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>
#include <vector>

#include "base/format.h"
#include "store/rows.h"

namespace mi::store {
namespace {

constexpr uint64_t kPageRows = 10'000;
constexpr std::string_view kSelectSeries =
    "SELECT STRAIGHT_JOIN m.id, b.tenant, m.metric, m.fingerprint, s.first_seen, s.last_seen "
    "FROM metric m FORCE INDEX (PRIMARY) JOIN metric_seen s ON s.metric_id = m.id "
    "JOIN metric_basic_label b ON b.id = m.metric_basic_label_id WHERE m.id > ?";
constexpr uint64_t kCountedAtOnce = 1'000'000;  // ids; about 0.2 s

// Runs `sql` page by page. bind(select) binds where the page begins; the number of rows follows as the last parameter.
// visit(row) returns a Result<bool>, false to end, and notes where the next page begins. Returns whether the visitor
// wants more.
// Each page begins behind the last key of the page before, so a page costs the same wherever it begins, and no key is
// visited twice. Rows that are committed meanwhile are visited if their key is above that. A page that is not full is
// the last one. At most one page is in memory.
template <typename Bind, typename Visit>
Result<bool> ReadPages(MysqlConnection& connection, std::string_view sql, Bind bind, Visit visit) {
  MysqlStatement* select = TRY(connection.Prepare(sql));
  for (uint64_t rows = kPageRows; rows == kPageRows;) {
    bind(*select);
    TRY(select->Bind(kPageRows).Run());
    for (rows = 0; TRY(select->Fetch()); ++rows) {
      if (!TRY(visit(*select))) return false;
    }
  }
  return true;
}

// Fetches the row of a statement that always has one.
Status FetchOnly(MysqlStatement& statement) {
  if (TRY(statement.Fetch())) return {};
  return Fail(Errc::kCorrupt, "schema_version has no row: restore a backup");
}

// See MysqlCatalogReader::ReadSeenChanges.
Result<uint64_t> SumOfChanged(MysqlConnection& connection, uint64_t from, uint64_t to) {
  MysqlStatement* sum = TRY(connection.Query(
      "SELECT CAST(COALESCE(SUM(changed - ? + 1), 0) AS UNSIGNED) FROM metric_seen FORCE INDEX (changed) "
      "WHERE changed >= ? AND changed <= ?",
      from, from, to));
  TRY(FetchOnly(*sum));
  return sum->Number(0);
}

Status ReadChanged(MysqlConnection& connection, uint64_t from, uint64_t to,
                   const std::function<void(const SeenUpdate&)>& visit) {
  uint64_t id = 0;
  TRY(ReadPages(
      connection,
      "SELECT changed, metric_id, first_seen, last_seen FROM metric_seen FORCE INDEX (changed) "
      "WHERE changed >= ? AND changed <= ? AND (changed > ? OR metric_id > ?) ORDER BY changed, metric_id LIMIT ?",
      [&](MysqlStatement& select) { select.Bind(from).Bind(to).Bind(from).Bind(id); },
      [&](const MysqlStatement& row) -> Result<bool> {
        from = row.Number(0);
        id = row.Number(1);
        visit({.id = id, .first_seen_ms = row.Int(2), .last_seen_ms = row.Int(3)});
        return true;
      }));
  return {};
}

}  // namespace

Result<CatalogState> MysqlCatalogReader::State() {
  const MysqlLease connection = TRY(pool_->Take());
  MysqlStatement* row = TRY(
      connection->Query("SELECT catalog_uuid, CAST((SELECT COALESCE(MAX(id), 0) FROM metric) AS UNSIGNED), "
                        "CAST((SELECT COALESCE(MAX(changed), 0) FROM metric_seen) AS UNSIGNED) FROM schema_version"));
  TRY(FetchOnly(*row));
  TRY(pool_->ExpectCatalog(row->Text(0)));
  return CatalogState{.uuid = std::string(row->Text(0)), .highest_id = row->Number(1), .seen_mark = row->Number(2)};
}

// Counts in slices: one statement over a hundred million rows would take longer than a statement may.
Result<uint64_t> MysqlCatalogReader::CountSeries(uint64_t up_to_id) {
  const uint64_t last = std::min(up_to_id, TRY(State()).highest_id);
  const MysqlLease connection = TRY(pool_->Take());
  uint64_t series = 0;
  for (uint64_t after = 0; after < last; after += kCountedAtOnce) {
    MysqlStatement* count = TRY(connection->Query(
        "SELECT COUNT(*) FROM metric_seen FORCE INDEX (PRIMARY) WHERE metric_id > ? AND metric_id <= ?", after,
        std::min(after + kCountedAtOnce, last)));
    TRY(FetchOnly(*count));
    series += count->Number(0);
  }
  return series;
}

Status MysqlCatalogReader::ReadSeries(uint64_t after_id, const std::function<bool(const StoredSeries&)>& visit) {
  const MysqlLease connection = TRY(pool_->Take());
  TRY(ReadPages(
      *connection, format("{} ORDER BY m.id LIMIT ?", kSelectSeries),
      [&](MysqlStatement& select) { select.Bind(after_id); },
      [&](const MysqlStatement& row) -> Result<bool> {
        after_id = row.Number(0);
        return visit(StoredSeriesOf(row));
      }));
  return {};
}

Status MysqlCatalogReader::ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t)>& visit) {
  const MysqlLease connection = TRY(pool_->Take());
  uint64_t after_id = 0;
  TRY(ReadPages(
      *connection,
      "SELECT STRAIGHT_JOIN m.id, m.fingerprint, s.last_seen FROM metric m FORCE INDEX (PRIMARY) "
      "JOIN metric_seen s ON s.metric_id = m.id WHERE m.id > ? ORDER BY m.id LIMIT ?",
      [&](MysqlStatement& select) { select.Bind(after_id); },
      [&](const MysqlStatement& row) -> Result<bool> {
        after_id = row.Number(0);
        return visit(FingerprintAt(row, 1), row.Int(2));
      }));
  return {};
}

Status MysqlCatalogReader::ReadSeriesIn(std::span<const IdRange> ranges,
                                        const std::function<bool(const StoredSeries&)>& visit) {
  assert(AreAscending(ranges));
  // Two statements, each prepared once; mostly there are few ranges. If some are missing, the last one fills their
  // places.
  constexpr size_t kMany = 50;
  constexpr size_t kFew = 4;
  const MysqlLease connection = TRY(pool_->Take());
  for (bool more = true; more && !ranges.empty();) {
    const size_t asked = ranges.size() <= kFew ? kFew : kMany;
    std::vector<IdRange> now(ranges.begin(), ranges.begin() + static_cast<ptrdiff_t>(std::min(asked, ranges.size())));
    ranges = ranges.subspan(now.size());
    now.resize(asked, now.back());
    std::string sql = format("{} AND (m.id BETWEEN ? AND ?", kSelectSeries);
    for (size_t i = 1; i < asked; ++i) sql += " OR m.id BETWEEN ? AND ?";
    sql += ") ORDER BY m.id LIMIT ?";
    uint64_t after_id = 0;
    more = TRY(ReadPages(
        *connection, sql,
        [&](MysqlStatement& select) {
          select.Bind(after_id);
          for (const IdRange& range : now) select.Bind(range.first).Bind(range.last);
        },
        [&](const MysqlStatement& row) -> Result<bool> {
          after_id = row.Number(0);
          return visit(StoredSeriesOf(row));
        }));
  }
  return {};
}

// Rows carry in `changed` the time when they were written, by the clock of the server that wrote them. The mark is the
// greatest `changed` that was read, not this server's clock: on a replica that lags, rows appear that carry the
// primary's time of a while ago.
//
//        from                  since = mark           newest
//   ------|----- looked back on ---|------- new --------|------> changed
//          longest_transaction
//
// A transaction that wrote before the mark may have been committed after the last call. So each call looks back by the
// longest transaction. It would read these rows again and again on a quiet system; therefore, if nothing is above the
// mark, it compares a sum over them first. What was committed late adds to the sum, as a row more or by moving a row
// up, and whatever takes from it is above the mark.
Result<uint64_t> MysqlCatalogReader::ReadSeenChanges(uint64_t since,
                                                     const std::function<void(const SeenUpdate&)>& visit) {
  // Rows that are written meanwhile move above it, and are for the next call.
  const uint64_t newest = TRY(State()).seen_mark;
  const MysqlLease connection = TRY(pool_->Take());
  const auto back = static_cast<uint64_t>(std::chrono::milliseconds(pool_->options().longest_transaction).count());
  const uint64_t from = since - std::min(since, back);
  std::optional<QuietMark> quiet;
  if (newest <= since) {
    quiet = QuietMark{since, TRY(SumOfChanged(*connection, from, since))};
    if (since != 0 && quiet == quiet_) return since;
  }
  TRY(ReadChanged(*connection, from, newest, visit));
  quiet_ = quiet;
  return std::max(since, newest);
}

Status MysqlCatalogReader::ReadMetadata(const std::function<bool(const StoredMetadata&)>& visit) {
  const MysqlLease connection = TRY(pool_->Take());
  std::string after;
  TRY(ReadPages(
      *connection,
      "SELECT tenant, metric_family, type, help, unit, last_seen, hash FROM metric_metadata WHERE hash > ? ORDER BY "
      "hash "
      "LIMIT ?",
      [&](MysqlStatement& select) { select.Bind(std::string_view(after)); },
      [&](const MysqlStatement& row) -> Result<bool> {
        after = row.Text(6);
        return visit(TRY(StoredMetadataOf(row)));
      }));
  return {};
}

}  // namespace mi::store
