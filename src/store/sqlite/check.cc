#include "store/sqlite/check.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/format.h"
#include "base/quote.h"
#include "model/fingerprint.h"
#include "model/identity_fingerprinter.h"
#include "sqlite/database.h"
#include "store/dictionary.h"
#include "store/rows.h"
#include "store/series_merge.h"
#include "store/sqlite/schema.h"

namespace mi::store {
namespace {

// Each part reads one or two tables from their beginning to their end. Damage that SQLite finds ends the part and is a
// fault; the other parts still run.
class SqliteCheck {
 public:
  SqliteCheck(sqlite::Database database, const std::string& identity_secret)
      : database_(std::move(database)), fingerprint_(identity_secret) {}

  Result<CheckReport> Run();

 private:
  // The labels of one series, as a sum that does not depend on their order.
  struct LabelSum {
    uint64_t id;
    uint64_t sum;
    uint64_t fingerprint;  // the second half
    bool comparable;       // the content is intact
  };

  Status RunPart(std::string_view name, Status (SqliteCheck::*part)());
  Status CheckStructure();
  Status CheckDictionaries();
  Status CheckDictionary(const DictionaryTable& table);
  Status CheckSeries();
  void CheckOneSeries(const sqlite::Statement& row);
  void CheckBasicLabels(const sqlite::Statement& row, std::span<const model::Label> labels);
  Status CheckLabels();
  void CheckFingerprints();
  Status CheckMetadata();
  uint64_t SumOf(std::string_view name, std::string_view value);

  sqlite::Database database_;
  model::IdentityFingerprinter fingerprint_;
  model::IdentityReader identity_;
  const model::Fingerprinter label_hash_{"", model::Tenant()};
  std::string key_;
  std::vector<LabelSum> sums_;  // ascending by id
  CheckReport report_;
};

Status SqliteCheck::RunPart(std::string_view name, Status (SqliteCheck::*part)()) {
  const Status done = (this->*part)();
  // kInternal: SQLite does not understand the query, because the text of a table or view in the file is damaged.
  if (done || (done.error().code() != Errc::kCorrupt && done.error().code() != Errc::kInternal)) return done;
  report_.Add(format("{} cannot be read to its end: {}", name, done.error().message()));
  return {};
}

Result<CheckReport> SqliteCheck::Run() {
  TRY(database_.Exec("BEGIN"));
  TRY(RunPart("the file", &SqliteCheck::CheckStructure));
  TRY(RunPart("a dictionary", &SqliteCheck::CheckDictionaries));
  TRY(RunPart("metric", &SqliteCheck::CheckSeries));
  TRY(RunPart("metric_label", &SqliteCheck::CheckLabels));
  CheckFingerprints();
  TRY(RunPart("metric_metadata", &SqliteCheck::CheckMetadata));
  return std::move(report_);
}

Status SqliteCheck::CheckStructure() {
  sqlite::Statement check = TRY(database_.Prepare(format("PRAGMA integrity_check({})", CheckReport::kMaxShown)));
  while (TRY(check.Step())) {
    if (check.Text(0) != "ok") report_.Add(format("structure: {}", Printable(check.Text(0))));
  }
  return {};
}

Status SqliteCheck::CheckDictionaries() {
  Dictionaries dictionaries(0);
  for (const Dictionary* dictionary : dictionaries.all()) TRY(CheckDictionary(dictionary->table()));
  return {};
}

Status SqliteCheck::CheckDictionary(const DictionaryTable& table) {
  sqlite::Statement rows = TRY(database_.Prepare(SelectDictionarySql(table, "")));
  while (TRY(rows.Step())) {
    if (View(DictionaryHash(DictionaryKeyOf(rows, 2, table))) == rows.Blob(1)) continue;
    report_.Add(format("{} {}: its text does not have its hash: {}", table.name, rows.Int(0), Quoted(rows.Text(2))));
  }
  return {};
}

Status SqliteCheck::CheckSeries() {
  sqlite::Statement rows = TRY(database_.Prepare(
      "SELECT m.id, b.tenant, m.metric, m.fingerprint, s.first_seen, s.last_seen, b.env, b.service, b.__name__ "
      "FROM metric m NOT INDEXED LEFT JOIN metric_seen s ON s.metric_id = m.id "
      "LEFT JOIN metric_basic_label b ON b.id = m.metric_basic_label_id ORDER BY m.id"));
  while (TRY(rows.Step())) CheckOneSeries(rows);
  const int64_t seen = TRY(database_.QueryInt("SELECT count(*) FROM metric_seen"));
  if (static_cast<uint64_t>(seen) != report_.series) {
    report_.Add(format("{} series have times in metric_seen, but metric has {}", seen, report_.series));
  }
  return {};
}

void SqliteCheck::CheckOneSeries(const sqlite::Statement& row) {
  const StoredSeries series = StoredSeriesOf(row);
  ++report_.series;
  if (!sums_.empty() && series.id <= sums_.back().id) {
    report_.Add(format("metric {}: stands behind {}", row.Int(0), sums_.back().id));
    return;
  }
  LabelSum& sum = sums_.emplace_back(
      LabelSum{.id = series.id, .sum = 0, .fingerprint = series.fingerprint.lo, .comparable = false});
  if (row.IsNull(1)) return report_.Add(format("metric {}: its row of metric_basic_label is missing", series.id));
  if (row.IsNull(4)) report_.Add(format("metric {}: its row of metric_seen is missing", series.id));
  const auto labels = identity_.Read(series.content);
  if (!labels || fingerprint_(series.tenant, *labels) != series.fingerprint) {
    return report_.Add(
        format("metric {}: tenant and content do not have its fingerprint: {}", series.id, Quoted(series.content)));
  }
  ++report_.intact;
  sum.comparable = true;
  for (const model::Label& label : *labels) {
    if (!IsBasicLabel(label.name)) sum.sum += SumOf(label.name, label.value);
  }
  CheckBasicLabels(row, *labels);
}

void SqliteCheck::CheckBasicLabels(const sqlite::Statement& row, std::span<const model::Label> labels) {
  constexpr std::array<std::string_view, 3> kNames = {"env", "service", model::kMetricName};
  for (size_t i = 0; i < kNames.size(); ++i) {
    const auto label = std::ranges::find(labels, kNames[i], &model::Label::name);
    const std::string_view expected = label == labels.end() ? std::string_view() : label->value;
    const std::string_view stored = row.Text(static_cast<int>(6 + i));
    if (stored == expected) continue;
    report_.Add(format("metric {}: {} is {} in metric_basic_label and {} in its content", row.Int(0), kNames[i],
                       Quoted(stored), Quoted(expected)));
  }
}

uint64_t SqliteCheck::SumOf(std::string_view name, std::string_view value) {
  key_.clear();
  AppendNetstring(name, key_);
  AppendNetstring(value, key_);
  return label_hash_(key_).lo;
}

// Compares what metric_label says of all series with what their contents say, in one pass over metric_label: the series
// of a block are neighbours, so its pair is looked up and hashed once, and is subtracted from the sums of the series
// that have it. What is left of a sum is a label too few or too many.
Status SqliteCheck::CheckLabels() {
  sqlite::Statement pair =
      TRY(database_.Prepare("SELECT (SELECT name FROM metric_label_name WHERE id = ?1), (SELECT value FROM "
                            "metric_label_value WHERE id = ?2)"));
  sqlite::Statement rows =
      TRY(database_.Prepare("SELECT metric_label_name_id, metric_label_value_id, metric_id FROM metric_label"));
  std::pair<int64_t, int64_t> current{-1, -1};
  uint64_t hash = 0;
  while (TRY(rows.Step())) {
    if (const std::pair<int64_t, int64_t> ids{rows.Int(0), rows.Int(1)}; ids != current) {
      current = ids;
      TRY(pair.Bind(1, ids.first).Bind(2, ids.second).Step());
      if (pair.IsNull(0)) report_.Add(format("metric_label: there is no name {}", ids.first));
      if (pair.IsNull(1)) report_.Add(format("metric_label: there is no value {}", ids.second));
      hash = SumOf(pair.Text(0), pair.Text(1));
      pair.Reset();
    }
    const auto id = static_cast<uint64_t>(rows.Int(2));
    const auto series = std::ranges::lower_bound(sums_, id, {}, &LabelSum::id);
    if (series == sums_.end() || series->id != id) {
      report_.Add(format("metric_label: there is no series {}", id));
    } else {
      series->sum -= hash;
    }
  }
  for (const LabelSum& series : sums_) {
    if (!series.comparable || series.sum == 0) continue;
    report_.Add(format("metric {}: its labels in metric_label are not those of its content", series.id));
  }
  return {};
}

// No index keeps two rows from having one fingerprint. Sorts sums_ by fingerprint.
void SqliteCheck::CheckFingerprints() {
  std::erase_if(sums_, [](const LabelSum& series) { return !series.comparable; });
  std::ranges::sort(sums_, {}, [](const LabelSum& series) { return std::pair(series.fingerprint, series.id); });
  for (size_t i = 1; i < sums_.size(); ++i) {
    if (sums_[i].fingerprint != sums_[i - 1].fingerprint) continue;
    report_.Add(format("metric {}: has the fingerprint of {}", sums_[i].id, sums_[i - 1].id));
  }
}

Status SqliteCheck::CheckMetadata() {
  sqlite::Statement rows =
      TRY(database_.Prepare("SELECT tenant, metric_family, type, help, unit, last_seen FROM metric_metadata"));
  while (TRY(rows.Step())) {
    if (const auto metadata = StoredMetadataOf(rows); !metadata) report_.Add(metadata.error().message());
  }
  return {};
}

}  // namespace

void CheckReport::Add(std::string fault) {
  ++faults;
  if (shown.size() < kMaxShown) shown.push_back(std::move(fault));
}

Result<CheckReport> CheckSqliteCatalog(const CheckOptions& options) {
  CheckReport unreadable;
  auto database = sqlite::Database::Open(options.path, {.read_only = true});
  Result<CatalogIdentity> identity = database ? CheckSqliteSchema(*database, options.configured_secret)
                                              : Result<CatalogIdentity>(Fail(database.error()));
  if (identity) return SqliteCheck(*std::move(database), identity->secret).Run();
  if (identity.error().code() != Errc::kCorrupt) return Fail(identity.error());
  unreadable.Add(identity.error().message());
  return unreadable;
}

}  // namespace mi::store
