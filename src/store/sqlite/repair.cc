#include "store/sqlite/repair.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "base/format.h"
#include "base/quote.h"
#include "model/identity_fingerprinter.h"
#include "sqlite/database.h"
#include "store/rows.h"
#include "store/sqlite/catalog.h"
#include "store/sqlite/copy.h"
#include "store/sqlite/schema.h"

namespace mi::store {
namespace {

constexpr size_t kRowsPerCall = 10'000;

bool IsDamage(const Status& status) { return !status && status.error().code() == Errc::kCorrupt; }

class Salvage {
 public:
  Salvage(sqlite::Database from, std::unique_ptr<SeriesStore> to, const std::string& identity_secret, int64_t now_ms,
          RepairReport& report)
      : now_ms_(now_ms), from_(std::move(from)), to_(std::move(to)), fingerprint_(identity_secret), report_(report) {}

  // An error: the tables cannot be found.
  Status Prepare();
  Status Run();

 private:
  struct Times {
    int64_t first_seen_ms;
    int64_t last_seen_ms;
  };

  void NoteTenants();
  Status ReadSeries();
  Status ReadSeriesAfter(int64_t& after);
  Result<std::optional<int64_t>> NextReadable(int64_t after);
  Status ReadMetadata();
  Status SaveRow(const sqlite::Statement& row);
  std::optional<std::string> TenantOf(const sqlite::Statement& row, std::span<const model::Label> labels);
  bool HasFingerprint(std::string_view tenant, std::span<const model::Label> labels, const sqlite::Statement& row);
  Times TimesOf(int64_t id);
  Status Flush();

  const int64_t now_ms_;
  sqlite::Database from_;
  const std::unique_ptr<SeriesStore> to_;
  model::IdentityFingerprinter fingerprint_;
  RepairReport& report_;
  sqlite::Statement rows_, probe_, tenant_, times_;
  model::IdentityReader identity_;
  std::set<std::string, std::less<>> tenants_{""};
  std::vector<model::SeriesBatch> batches_;
  std::vector<model::ActivityBatch> activity_;
  size_t waiting_ = 0;  // rows in batches_
};

Status Salvage::Prepare() {
  return from_.PrepareEach({
      {rows_, "SELECT id, metric_basic_label_id, fingerprint, metric FROM metric NOT INDEXED WHERE id > ? ORDER BY id"},
      {probe_, "SELECT id FROM metric NOT INDEXED WHERE id >= ? ORDER BY id LIMIT 1"},
      {tenant_, "SELECT tenant FROM metric_basic_label WHERE id = ?"},
      {times_, "SELECT first_seen, last_seen FROM metric_seen WHERE metric_id = ?"},
  });
}

Status Salvage::Run() {
  for (const char* count : {"SELECT count(*) FROM metric_seen", "SELECT count(*) FROM metric"}) {
    if (const auto known = from_.QueryInt(count))
      report_.known = std::max(report_.known, static_cast<uint64_t>(*known));
  }
  NoteTenants();
  TRY(ReadSeries());
  TRY(Flush());
  if (const Status read = ReadMetadata(); IsDamage(read)) {
    report_.Lose(format("metadata: {}", read.error().message()));
  } else if (!read) {
    return read;
  }
  TRY(Flush());
  TRY(to_->Checkpoint());
  return {};
}

// Up to a damaged page.
void Salvage::NoteTenants() {
  constexpr size_t kMaxTenants = 1'000;  // each is tried for each row whose own is lost
  Result<sqlite::Statement> rows = from_.Prepare("SELECT tenant FROM metric_basic_label NOT INDEXED");
  while (rows && tenants_.size() < kMaxTenants) {
    const Result<bool> more = rows->Step();
    if (!more || !*more) return;
    tenants_.emplace(rows->Text(0));
  }
}

// SQLite fails at a page that it cannot read. Then reading continues behind it: with the smallest id that can be found
// again. If that is just the next one, its row itself cannot be read, and is passed over.
Status Salvage::ReadSeries() {
  for (int64_t after = 0;;) {
    const Status read = ReadSeriesAfter(after);
    if (read) return {};
    if (!IsDamage(read)) return read;
    const std::optional<int64_t> next = TRY(NextReadable(after));
    ++report_.unreadable;
    report_.Lose(next ? format("series {} to {}: {}", after + 1, std::max(*next - 1, after + 1), read.error().message())
                      : format("series {} and above: {}", after + 1, read.error().message()));
    if (!next) return {};
    after = std::max(*next - 1, after + 1);
  }
}

Status Salvage::ReadSeriesAfter(int64_t& after) {
  rows_.Bind(1, after);
  while (TRY(rows_.Step())) {
    after = std::max(after, rows_.Int(0));
    if (const Status saved = SaveRow(rows_); !saved) {
      rows_.Reset();
      return Fail(Errc::kUnavailable, saved.error().message());  // of the new catalogue, whatever its code
    }
  }
  return {};
}

// Doubles the step until an id is found, then halves it: some dozen look-ups. Nothing: no id above can be found.
Result<std::optional<int64_t>> Salvage::NextReadable(int64_t after) {
  const auto look = [&](int64_t from) -> std::optional<int64_t> {
    const Result<bool> found = probe_.Bind(1, from).Step();
    if (!found || !*found) return std::nullopt;
    const int64_t id = probe_.Int(0);
    probe_.Reset();
    return id;
  };
  std::optional<int64_t> found;
  int64_t low = 0;
  int64_t step = 1;
  for (; !found; step *= 2) {
    if (step > std::numeric_limits<int64_t>::max() / 4 - after) return std::nullopt;
    found = look(after + step);
    if (!found) low = step;
  }
  for (int64_t high = step / 2; low + 1 < high;) {
    const int64_t middle = low + (high - low) / 2;
    const std::optional<int64_t> nearer = look(after + middle);
    if (nearer) found = nearer;
    (nearer ? high : low) = middle;
  }
  return found;
}

Status Salvage::SaveRow(const sqlite::Statement& row) {
  const int64_t id = row.Int(0);
  const auto labels = identity_.Read(row.Text(3));
  std::optional<std::string> tenant;
  if (labels) tenant = TenantOf(row, *labels);
  if (!tenant) {
    ++report_.damaged;
    report_.Lose(format("series {}: tenant and content do not have its fingerprint: {}", id, Quoted(row.Text(3))));
    return {};
  }
  const Times times = TimesOf(id);
  const model::Labels owned = TRY(model::Labels::FromUnsorted(*labels));
  const model::Fingerprint fingerprint = fingerprint_(*tenant, *labels).value();
  model::SeriesBatch& batch = batches_.emplace_back(TRY(model::Tenant::Parse(*tenant)), times.first_seen_ms);
  batch.Add(fingerprint, owned.canonical());
  if (activity_.empty() || activity_.back().seen_at_ms != times.last_seen_ms)
    activity_.push_back({times.last_seen_ms, {}});
  activity_.back().fingerprints.push_back(fingerprint);
  return ++waiting_ < kRowsPerCall ? Status() : Flush();
}

// The tenant with which the row is proved. If its row of metric_basic_label is lost, it is one of the others.
std::optional<std::string> Salvage::TenantOf(const sqlite::Statement& row, std::span<const model::Label> labels) {
  const Result<bool> found = tenant_.Bind(1, row.Int(1)).Step();
  std::optional<std::string> tenant;
  if (found && *found) tenant = std::string(tenant_.Text(0));
  tenant_.Reset();
  if (tenant && HasFingerprint(*tenant, labels, row)) return tenant;
  for (const std::string& other : tenants_) {
    if (HasFingerprint(other, labels, row)) return other;
  }
  return std::nullopt;
}

bool Salvage::HasFingerprint(std::string_view tenant, std::span<const model::Label> labels,
                             const sqlite::Statement& row) {
  return fingerprint_(tenant, labels) == FingerprintAt(row, 2);
}

Salvage::Times Salvage::TimesOf(int64_t id) {
  Times times{now_ms_, now_ms_};
  const Result<bool> found = times_.Bind(1, id).Step();
  if (found && *found) {
    times = {std::min(times_.Int(0), times_.Int(1)), times_.Int(1)};
  } else {
    ++report_.without_times;
  }
  times_.Reset();
  return times;
}

Status Salvage::ReadMetadata() {
  sqlite::Statement rows =
      TRY(from_.Prepare("SELECT tenant, metric_family, type, help, unit, last_seen FROM metric_metadata NOT INDEXED"));
  while (TRY(rows.Step())) {
    Result<StoredMetadata> stored = StoredMetadataOf(rows);
    if (!stored) {
      report_.Lose(stored.error().message());
      continue;
    }
    batches_.emplace_back(stored->tenant, stored->last_seen_ms).AddMetadata(std::move(stored->metadata));
    if (batches_.size() >= kRowsPerCall) TRY(Flush());
  }
  return {};
}

Status Salvage::Flush() {
  waiting_ = 0;
  if (batches_.empty()) return {};
  report_.kept += TRY(to_->Apply(batches_, {})).inserted.size();
  TRY(to_->ApplyActivity(activity_));
  batches_.clear();
  activity_.clear();
  return {};
}

// Makes the new catalogue, with the secret of the old one, and fills it if the tables of the old one can be found.
Status Save(const RepairOptions& options, RepairReport& report) {
  IdentitySecrets secrets = options.secrets;
  Result<sqlite::Database> from = sqlite::Database::Open(options.from, {.read_only = true});
  if (!from && from.error().code() != Errc::kCorrupt) return Fail(from.error());
  if (from) {
    if (auto old = CheckSqliteSchema(*from, secrets.configured)) secrets.if_new = old->secret;
  }
  const SqliteCatalog to = TRY(SqliteCatalog::Open({.path = options.to, .secrets = secrets}));
  if (!from) {
    report.Lose(from.error().message());
    return {};
  }
  Salvage salvage(*std::move(from), TRY(to.OpenStore([](const Error&) {})), to.identity_secret(), options.now_ms,
                  report);
  if (const Status prepared = salvage.Prepare(); !prepared) {
    report.Lose(prepared.error().message());
    return {};
  }
  return salvage.Run();
}

}  // namespace

void RepairReport::Lose(std::string what) {
  if (shown.size() < kMaxShown) shown.push_back(std::move(what));
}

Result<RepairReport> RepairSqliteCatalog(const RepairOptions& options) {
  RepairReport report;
  RemoveSqliteFiles(options.to);
  TRY(Save(options, report));
  TRY(MakeSqliteFileWhole(options.to));
  return report;
}

}  // namespace mi::store
