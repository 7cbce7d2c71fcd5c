#include "store/mysql_series_store.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "base/format.h"
#include "model/identity.h"
#include "store/dictionary_hash.h"
#include "store/mysql_select_in.h"

namespace mi::store {
namespace {

constexpr std::array<std::string_view, 1> kNameColumns = {"name"};
constexpr std::array<std::string_view, 1> kValueColumns = {"value"};
constexpr std::array<std::string_view, 4> kBasicColumns = {"tenant", "env", "service", "__name__"};
enum Dictionary : size_t { kNames, kValues, kBasicLabels };

constexpr uint64_t kQuietSeries = 1'000;    // between two checkpoints; so many are indexed in a moment with cold caches
constexpr size_t kSightingsAtOnce = 5'000;  // times moved in a transaction: what others wait for
constexpr int kMostConflicts = 20;          // of one call; each means that another transaction got on

bool IsBasicLabel(std::string_view name) { return name == "env" || name == "service" || name == model::kMetricName; }

std::string_view View(const std::array<char, 16>& bytes) { return {bytes.data(), bytes.size()}; }

// Netstrings: no two lists of texts give the same key, whatever bytes are in them.
void AppendNetstring(std::string_view text, std::string& key) {
  format_to(std::back_inserter(key), "{}:{},", text.size(), text);
}

// A string: it compares as the database does, by unsigned bytes.
std::string HashOf(std::string_view key) { return std::string(View(DictionaryHash(key))); }

std::string PositionHash(std::string_view stream, int32_t partition) {
  std::string key;
  AppendNetstring(stream, key);
  AppendNetstring(format("{}", partition), key);
  return HashOf(key);
}

void AddCollisions(const PlannedSeries& series, std::string_view stored_content, ApplyResult& result) {
  for (const Occurrence& at : series.occurrences) {
    result.collisions.push_back({at.batch, at.index, std::string(stored_content)});
  }
}

}  // namespace

struct MysqlSeriesStore::Work {
  explicit Work(std::span<const model::SeriesBatch> all, std::span<const StreamPosition> stream_positions)
      : plan(all), batches(all), positions(stream_positions) {
    const std::span<const PlannedSeries> series = plan.series();
    for (size_t begin = 0, end = 0; begin < series.size(); begin = end) {
      while (end < series.size() && series[end].fingerprint == series[begin].fingerprint) ++end;
      runs.push_back(series.subspan(begin, end - begin));
    }
  }

  ApplyPlan plan;
  std::vector<std::span<const PlannedSeries>> runs;  // of one fingerprint each, ascending
  std::span<const model::SeriesBatch> batches;
  std::span<const StreamPosition> positions;
};

MysqlSeriesStore::MysqlSeriesStore(std::shared_ptr<MysqlPool> pool)
    : pool_(std::move(pool)),
      repeated_(pool_->metrics().GetCounter(
          "store_repeated_total", "Transactions that were done again after a conflict with another writer.")) {
  const uint64_t bytes = pool_->options().dictionary_bytes;
  dictionaries_.emplace_back(MysqlDictionaryTable{"metric_label_name", kNameColumns, bytes / 8});
  dictionaries_.emplace_back(MysqlDictionaryTable{"metric_label_value", kValueColumns, bytes / 8 * 6});
  dictionaries_.emplace_back(MysqlDictionaryTable{"metric_basic_label", kBasicColumns, bytes / 8});
}

template <typename Call>
std::invoke_result_t<Call, MysqlConnection&> MysqlSeriesStore::Repeat(Call call) {
  const Time give_up = std::chrono::steady_clock::now() + pool_->options().longest_transaction;
  for (int conflicts = 0;; ++conflicts) {
    Result<MysqlLease> connection = pool_->Take();
    if (!connection) return Fail(connection.error());
    const uint64_t epoch = pool_->epoch();
    if (std::exchange(epoch_, epoch) != epoch || uuid_ != connection->uuid()) ForgetAll();
    uuid_ = connection->uuid();
    const uint64_t faults = (*connection)->faults();
    auto result = call(**connection);
    if (result) return result;
    const bool conflict = (*connection)->faults() != faults && (*connection)->last_fault() == MysqlFault::kConflict;
    if (!conflict || conflicts == kMostConflicts || std::chrono::steady_clock::now() > give_up) return result;
    repeated_.Add();
  }
}

Result<ApplyResult> MysqlSeriesStore::Apply(std::span<const model::SeriesBatch> batches,
                                            std::span<const StreamPosition> positions) {
  const Work work(batches, positions);
  // Whatever ends an attempt, be it want of memory: the dictionaries let go of the batches' texts.
  struct Borrowed {
    std::vector<MysqlDictionary>& dictionaries;
    ~Borrowed() {
      for (MysqlDictionary& dictionary : dictionaries) dictionary.Discard();
    }
  };
  Result<ApplyResult> result = Repeat([&](MysqlConnection& connection) {
    const Borrowed borrowed{dictionaries_};
    Result<ApplyResult> attempt = Attempt(connection, work);
    for (MysqlDictionary& dictionary : dictionaries_) dictionary.Remember();
    return attempt;
  });
  NoteWrite(result);
  if (!result) {
    // What a failed call made in the dictionaries is behind no position of ours: a backup that is restored before the
    // next attempt takes it away unnoticed.
    ForgetAll();
    return result;
  }
  inserted_since_checkpoint_ += result->inserted.size();
  for (const StreamPosition& position : positions) {
    last_positions_[{position.stream, position.partition}] = position.next_offset;
  }
  return result;
}

Result<ApplyResult> MysqlSeriesStore::Attempt(MysqlConnection& connection, const Work& work) {
  ApplyResult result;
  if (Status told = TellLateAgain(connection); !told) return Fail(told.error());
  if (Status found = FindKnown(connection, work, result); !found) return Fail(found.error());
  if (Status gathered = GatherFresh(work, result); !gathered) return Fail(gathered.error());
  if (Status resolved = Resolve(connection); !resolved) return Fail(resolved.error());

  const Time began = std::chrono::steady_clock::now();
  const Result<uint64_t> now_ms = ServerNowMs(connection);
  if (!now_ms) return Fail(now_ms.error());
  if (Status given = GiveIds(connection, work, result); !given) return Fail(given.error());
  Result<MysqlTransaction> transaction = MysqlTransaction::Begin(connection);
  if (!transaction) return Fail(transaction.error());
  if (Status done = InsertFresh(connection, *now_ms); !done) return Fail(done.error());
  if (Status done = CheckTime(began); !done) return Fail(done.error());
  if (Status done = MoveSeen(connection, sightings_, *now_ms, result.updated); !done) return Fail(done.error());
  if (Status done = ApplyMetadata(connection, work); !done) return Fail(done.error());
  if (Status done = ApplyPositions(connection, work); !done) return Fail(done.error());
  if (Status done = Commit(*transaction, began, result.updated); !done) return Fail(done.error());
  return result;
}

Status MysqlSeriesStore::FindKnown(MysqlConnection& connection, const Work& work, ApplyResult& result) {
  run_is_known_.assign(work.runs.size(), 0);
  sightings_.clear();
  std::array<char, 16> bytes{};
  std::vector<std::array<char, 16>> fingerprints;
  fingerprints.reserve(work.runs.size());
  for (const auto& run : work.runs) fingerprints.push_back(run.front().fingerprint.ToBytes());
  return SelectIn(
      connection,
      "SELECT STRAIGHT_JOIN m.id, m.fingerprint, m.metric, b.tenant, s.first_seen, s.last_seen "
      "FROM metric m FORCE INDEX (fingerprint) JOIN metric_basic_label b ON b.id = m.metric_basic_label_id "
      "JOIN metric_seen s ON s.metric_id = m.id WHERE m.fingerprint IN",
      "", fingerprints.size(), [&](size_t i, MysqlStatement& select) { select.BindText(View(fingerprints[i])); },
      [&](const MysqlStatement& row) -> Status {
        if (row.Text(1).size() != bytes.size()) return {};
        std::ranges::copy(row.Text(1), bytes.begin());
        const auto at = std::ranges::lower_bound(fingerprints, bytes, [](const auto& a, const auto& b) {
          return View(a) < View(b);  // as unsigned bytes
        });
        if (at != fingerprints.end() && *at == bytes) {
          MeetStored(work, static_cast<size_t>(at - fingerprints.begin()), row, result);
        }
        return {};
      });
}

// Fingerprints find, contents decide.
void MysqlSeriesStore::MeetStored(const Work& work, size_t run, const MysqlStatement& row, ApplyResult& result) {
  run_is_known_[run] = 1;
  for (const PlannedSeries& series : work.runs[run]) {
    text_.clear();
    model::AppendIdentity(work.plan.LabelsOf(series), text_);
    if (row.Text(2) != text_ || row.Text(3) != work.plan.TenantOf(series).name()) {
      AddCollisions(series, row.Text(2), result);
      continue;
    }
    result.existing += series.occurrences.size();
    if (series.first_seen_ms < row.Signed(4) || series.last_seen_ms > row.Signed(5)) {
      sightings_.push_back({row.Number(0), series.first_seen_ms, series.last_seen_ms});
    }
  }
}

Status MysqlSeriesStore::GatherFresh(const Work& work, ApplyResult& result) {
  fresh_.clear();
  labels_.clear();
  contents_.clear();
  for (size_t run = 0; run < work.runs.size(); ++run) {
    if (run_is_known_[run] != 0) continue;
    const std::span<const PlannedSeries> variants = work.runs[run];
    if (Status gathered = GatherSeries(work, variants.front()); !gathered) return gathered;
    for (const PlannedSeries& other : variants.subspan(1)) {
      AddCollisions(other, model::FormatIdentity(work.plan.LabelsOf(variants.front())), result);
    }
  }
  return {};
}

Status MysqlSeriesStore::GatherSeries(const Work& work, const PlannedSeries& series) {
  const model::LabelsView labels = work.plan.LabelsOf(series);
  FreshSeries fresh{.planned = &series,
                    .basic_label = 0,
                    .labels_begin = labels_.size(),
                    .labels_end = 0,
                    .content_begin = contents_.size(),
                    .fingerprint = series.fingerprint.ToBytes()};
  std::array<std::string_view, 4> basic = {work.plan.TenantOf(series).name(), "", "", ""};
  for (const model::Label& label : labels) {
    if (!model::IsValidUtf8(label.name) || !model::IsValidUtf8(label.value)) {
      return Fail(Errc::kInvalid,
                  format("a label is not UTF-8, and MySQL keeps only that: {}", model::FormatIdentity(labels)));
    }
    if (label.name == "env") basic[1] = label.value;
    if (label.name == "service") basic[2] = label.value;
    if (label.name == model::kMetricName) basic[3] = label.value;
    if (IsBasicLabel(label.name)) continue;
    labels_.push_back({.name = dictionaries_[kNames].Want(label.name, {&label.name, 1}),
                       .value = dictionaries_[kValues].Want(label.value, {&label.value, 1})});
  }
  text_.clear();
  for (const std::string_view value : basic) AppendNetstring(value, text_);
  fresh.basic_label = dictionaries_[kBasicLabels].Want(text_, basic);
  model::AppendIdentity(labels, contents_);
  fresh.labels_end = labels_.size();
  fresh.content_end = contents_.size();
  fresh_.push_back(fresh);
  return {};
}

Status MysqlSeriesStore::Resolve(MysqlConnection& connection) {
  for (MysqlDictionary& dictionary : dictionaries_) {
    if (Status resolved = dictionary.Resolve(connection); !resolved) return resolved;
  }
  return {};
}

Status MysqlSeriesStore::GiveIds(MysqlConnection& connection, const Work& work, ApplyResult& result) {
  // A dictionary row with another text: the series is refused, as one whose fingerprint is another's.
  const auto clash = [this](const FreshSeries& fresh) -> std::string_view {
    if (dictionaries_[kBasicLabels].IdAt(fresh.basic_label) == 0) return "metric_basic_label";
    for (size_t i = fresh.labels_begin; i < fresh.labels_end; ++i) {
      if (dictionaries_[kNames].IdAt(labels_[i].name) == 0) return "metric_label_name";
      if (dictionaries_[kValues].IdAt(labels_[i].value) == 0) return "metric_label_value";
    }
    return "";
  };
  std::erase_if(fresh_, [&](const FreshSeries& fresh) {
    const std::string_view table = clash(fresh);
    if (table.empty()) return false;
    AddCollisions(*fresh.planned, format("a row of {} has the hash of another text", table), result);
    return true;
  });
  if (fresh_.empty()) return {};

  const Result<uint64_t> first = TakeMysqlIds(connection, "metric", fresh_.size());
  if (!first) return Fail(first.error());
  uint64_t id = *first;

  std::vector<FreshSeries*> by_arrival;
  by_arrival.reserve(fresh_.size());
  for (FreshSeries& fresh : fresh_) by_arrival.push_back(&fresh);
  std::ranges::sort(by_arrival, {}, [](const FreshSeries* fresh) { return fresh->planned->first(); });
  for (FreshSeries* fresh : by_arrival) {
    fresh->id = id++;
    const PlannedSeries& series = *fresh->planned;
    const Occurrence& at = series.first();
    result.inserted.push_back({fresh->id, at.batch, at.index});
    result.existing += series.occurrences.size() - 1;
    const int64_t told = work.batches[at.batch].seen_at_ms();
    if (series.first_seen_ms != told || series.last_seen_ms != told) {
      result.updated.push_back({fresh->id, series.first_seen_ms, series.last_seen_ms});
    }
  }
  return {};
}

Status MysqlSeriesStore::InsertFresh(MysqlConnection& connection, uint64_t now_ms) {
  if (fresh_.empty()) return {};
  series_rows_.Clear();
  seen_rows_.Clear();
  posting_rows_.Clear();
  postings_.clear();
  for (const FreshSeries& fresh : fresh_) {  // by fingerprint
    const auto content =
        std::string_view(contents_).substr(fresh.content_begin, fresh.content_end - fresh.content_begin);
    series_rows_.Number(fresh.id).Number(dictionaries_[kBasicLabels].IdAt(fresh.basic_label));
    series_rows_.Text(View(fresh.fingerprint)).Text(content);
    for (size_t i = fresh.labels_begin; i < fresh.labels_end; ++i) {
      postings_.push_back(
          {dictionaries_[kNames].IdAt(labels_[i].name), dictionaries_[kValues].IdAt(labels_[i].value), fresh.id});
    }
  }
  std::ranges::sort(postings_);
  for (const Posting& posting : postings_) {
    posting_rows_.Number(posting.name).Number(posting.value).Number(posting.series);
  }
  std::vector<const FreshSeries*> by_id;
  by_id.reserve(fresh_.size());
  for (const FreshSeries& fresh : fresh_) by_id.push_back(&fresh);
  std::ranges::sort(by_id, {}, &FreshSeries::id);
  for (const FreshSeries* fresh : by_id) {
    seen_rows_.Number(fresh->id).Number(fresh->planned->first_seen_ms).Number(fresh->planned->last_seen_ms);
    seen_rows_.Number(now_ms);
  }
  Status done = connection.Insert("metric (id, metric_basic_label_id, fingerprint, metric)", series_rows_);
  if (!done) return done;
  done = connection.Insert("metric_seen (metric_id, first_seen, last_seen, changed)", seen_rows_);
  if (!done) return done;
  return connection.Insert("metric_label (metric_label_name_id, metric_label_value_id, metric_id)", posting_rows_);
}

// Locks the rows in the order of their ids, so that what is told and written is what others see next.
Status MysqlSeriesStore::MoveSeen(MysqlConnection& connection, std::span<const Sighting> sightings, uint64_t now_ms,
                                  std::vector<SeenUpdate>& updated) {
  if (sightings.empty()) return {};
  std::vector<Sighting> sorted(sightings.begin(), sightings.end());
  std::ranges::sort(sorted, {}, &Sighting::id);
  std::vector<SeenUpdate> moved;
  const Status read = SelectIn(
      connection, "SELECT metric_id, first_seen, last_seen FROM metric_seen FORCE INDEX (PRIMARY) WHERE metric_id IN",
      "ORDER BY metric_id FOR UPDATE", sorted.size(),
      [&](size_t i, MysqlStatement& select) { select.Bind(sorted[i].id); },
      [&](const MysqlStatement& row) -> Status {
        const auto sighting = std::ranges::lower_bound(sorted, row.Number(0), {}, &Sighting::id);
        if (sighting == sorted.end() || sighting->id != row.Number(0)) return {};
        const int64_t first = std::min(row.Signed(1), sighting->first_seen_ms);
        const int64_t last = std::max(row.Signed(2), sighting->last_seen_ms);
        if (first != row.Signed(1) || last != row.Signed(2)) moved.push_back({sighting->id, first, last});
        return {};
      });
  if (!read) return read;
  seen_rows_.Clear();
  for (const SeenUpdate& update : moved) {
    seen_rows_.Number(update.id).Number(update.first_seen_ms).Number(update.last_seen_ms).Number(now_ms);
  }
  updated.insert(updated.end(), moved.begin(), moved.end());
  return connection.Insert("metric_seen (metric_id, first_seen, last_seen, changed)", seen_rows_,
                           "ON DUPLICATE KEY UPDATE first_seen = VALUES(first_seen), last_seen = VALUES(last_seen), "
                           "changed = VALUES(changed)");
}

Status MysqlSeriesStore::ApplyMetadata(MysqlConnection& connection, const Work& work) {
  // The latest word on each family of the call; by hash, the order of the key.
  struct Row {
    const std::string* tenant;
    int64_t last_seen_ms;
    const model::MetricMetadata* metadata;
    auto Rank() const { return std::tie(last_seen_ms, metadata->type, metadata->help, metadata->unit); }
  };
  std::map<std::string, Row> rows;
  for (const model::SeriesBatch& batch : work.batches) {
    for (const model::MetricMetadata& metadata : batch.metadata()) {
      text_.clear();
      AppendNetstring(batch.tenant().name(), text_);
      AppendNetstring(metadata.family, text_);
      for (const std::string* text : {&metadata.family, &metadata.type, &metadata.help, &metadata.unit}) {
        if (!model::IsValidUtf8(*text)) return Fail(Errc::kInvalid, "metadata that is not UTF-8");
      }
      const Row row{&batch.tenant().name(), batch.seen_at_ms(), &metadata};
      const auto [at, fresh] = rows.try_emplace(HashOf(text_), row);
      if (!fresh && row.Rank() > at->second.Rank()) at->second = row;
    }
  }
  if (rows.empty()) return {};
  std::vector<std::string> hashes;
  hashes.reserve(rows.size());
  for (const auto& [hash, row] : rows) hashes.push_back(hash);
  const Status read = SelectIn(
      connection, "SELECT hash, last_seen, type, help, unit FROM metric_metadata FORCE INDEX (PRIMARY) WHERE hash IN",
      "ORDER BY hash FOR UPDATE", hashes.size(), [&](size_t i, MysqlStatement& select) { select.BindText(hashes[i]); },
      [&](const MysqlStatement& row) -> Status {
        const auto ours = rows.find(std::string(row.Text(0)));
        if (ours == rows.end()) return {};
        const model::MetricMetadata stored{"", std::string(row.Text(2)), std::string(row.Text(3)),
                                           std::string(row.Text(4))};
        if (ours->second.Rank() <= Row{nullptr, row.Signed(1), &stored}.Rank()) rows.erase(ours);
        return {};
      });
  if (!read) return read;
  MysqlRows insert("tttttnt");
  for (const auto& [hash, row] : rows) {
    insert.Text(*row.tenant).Text(row.metadata->family).Text(row.metadata->type).Text(row.metadata->help);
    insert.Text(row.metadata->unit).Number(row.last_seen_ms).Text(hash);
  }
  return connection.Insert("metric_metadata (tenant, metric_family, type, help, unit, last_seen, hash)", insert,
                           "ON DUPLICATE KEY UPDATE type = VALUES(type), help = VALUES(help), unit = VALUES(unit), "
                           "last_seen = VALUES(last_seen)");
}

Status MysqlSeriesStore::ApplyPositions(MysqlConnection& connection, const Work& work) {
  std::map<std::string, const StreamPosition*> sorted;
  for (const StreamPosition& position : work.positions) {
    sorted[PositionHash(position.stream, position.partition)] = &position;
  }
  MysqlRows rows("tnnt");
  for (const auto& [hash, position] : sorted) {
    if (Status checked = CheckPosition(connection, hash, *position); !checked) return checked;
    rows.Text(position->stream).Number(int64_t{position->partition}).Number(position->next_offset).Text(hash);
  }
  return connection.Insert("stream_position (stream, partition_id, next_offset, hash)", rows,
                           "ON DUPLICATE KEY UPDATE next_offset = VALUES(next_offset)");
}

Status MysqlSeriesStore::CheckPosition(MysqlConnection& connection, const std::string& hash,
                                       const StreamPosition& position) {
  const auto last = last_positions_.find({position.stream, position.partition});
  if (last == last_positions_.end()) return {};
  Result<MysqlStatement*> select =
      connection.Prepare("SELECT next_offset FROM stream_position WHERE hash = ? FOR UPDATE");
  if (!select) return Fail(select.error());
  if (Status run = (*select)->BindText(hash).Run(); !run) return run;
  const Result<bool> row = (*select)->Fetch();
  if (!row) return Fail(row.error());
  return CheckStored(position, last->second, *row ? std::optional((*select)->Signed(0)) : std::nullopt);
}

// Followers look back by the longest transaction; what would be seen later than that is not committed.
Status MysqlSeriesStore::CheckTime(Time began) const {
  const std::chrono::seconds longest = pool_->options().longest_transaction;
  const auto taken = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  if (taken <= longest / 2) return {};
  pool_->CountFault(MysqlFault::kTimeout);
  return Fail(Errc::kUnavailable, format("{}: a transaction took {} ms, and no more than {} s are allowed: rolled back",
                                         AddressOf(pool_->options()), taken.count(), longest.count() / 2));
}

Status MysqlSeriesStore::Commit(MysqlTransaction& transaction, Time began, std::span<const SeenUpdate> moved) {
  if (Status in_time = CheckTime(began); !in_time) return in_time;
  // Before: there may be no memory for it afterwards.
  const size_t before = late_.size();
  for (const SeenUpdate& update : moved) late_.push_back(update.id);
  Status committed = transaction.Commit();
  const auto taken = std::chrono::steady_clock::now() - began;
  if (committed && taken <= pool_->options().longest_transaction) late_.resize(before);
  return committed;
}

// Waits, as every writer, for a transaction that the server has not ended yet.
Status MysqlSeriesStore::TellLateAgain(MysqlConnection& connection) {
  if (late_.empty()) return {};
  std::ranges::sort(late_);
  Status told = SelectIn(
      connection, "UPDATE metric_seen SET changed = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED) WHERE metric_id IN",
      "", late_.size(), [&](size_t i, MysqlStatement& update) { update.Bind(late_[i]); },
      [](const MysqlStatement&) { return Status(); });
  if (told) late_.clear();
  return told;
}

Result<std::vector<SeenUpdate>> MysqlSeriesStore::ApplyActivity(std::span<const model::ActivityBatch> batches) {
  Result<std::vector<SeenUpdate>> moved = MoveActivity(batches);
  NoteWrite(moved);
  return moved;
}

Result<std::vector<SeenUpdate>> MysqlSeriesStore::MoveActivity(std::span<const model::ActivityBatch> batches) {
  std::unordered_map<model::Fingerprint, int64_t> seen;
  for (const model::ActivityBatch& batch : batches) {
    for (const model::Fingerprint& fingerprint : batch.fingerprints) {
      int64_t& at = seen.try_emplace(fingerprint, batch.seen_at_ms).first->second;
      at = std::max(at, batch.seen_at_ms);
    }
  }
  std::vector<std::pair<std::array<char, 16>, int64_t>> sorted;
  sorted.reserve(seen.size());
  for (const auto& [fingerprint, last_seen_ms] : seen) sorted.emplace_back(fingerprint.ToBytes(), last_seen_ms);
  std::ranges::sort(sorted, [](const auto& a, const auto& b) { return View(a.first) < View(b.first); });

  std::vector<Sighting> sightings;
  Status found = Repeat([&](MysqlConnection& connection) {
    sightings.clear();
    return SelectIn(
        connection,
        "SELECT STRAIGHT_JOIN m.id, m.fingerprint, s.last_seen FROM metric m FORCE INDEX (fingerprint) "
        "JOIN metric_seen s ON s.metric_id = m.id WHERE m.fingerprint IN",
        "", sorted.size(), [&](size_t i, MysqlStatement& select) { select.BindText(View(sorted[i].first)); },
        [&](const MysqlStatement& row) -> Status {
          const auto at =
              std::ranges::lower_bound(sorted, row.Text(1), {}, [](const auto& one) { return View(one.first); });
          if (at == sorted.end() || View(at->first) != row.Text(1) || at->second <= row.Signed(2)) return {};
          sightings.push_back({row.Number(0), INT64_MAX, at->second});
          return {};
        });
  });
  if (!found) return Fail(found.error());
  std::ranges::sort(sightings, {}, &Sighting::id);

  std::vector<SeenUpdate> updated;
  for (size_t begin = 0; begin < sightings.size(); begin += kSightingsAtOnce) {
    const auto slice =
        std::span<const Sighting>(sightings).subspan(begin, std::min(kSightingsAtOnce, sightings.size() - begin));
    Result<std::vector<SeenUpdate>> moved = Repeat([&](MysqlConnection& connection) -> Result<std::vector<SeenUpdate>> {
      std::vector<SeenUpdate> now;
      if (Status told = TellLateAgain(connection); !told) return Fail(told.error());
      const Time began = std::chrono::steady_clock::now();
      const Result<uint64_t> now_ms = ServerNowMs(connection);
      if (!now_ms) return Fail(now_ms.error());
      Result<MysqlTransaction> transaction = MysqlTransaction::Begin(connection);
      if (!transaction) return Fail(transaction.error());
      if (Status done = MoveSeen(connection, slice, *now_ms, now); !done) return Fail(done.error());
      if (Status done = Commit(*transaction, began, now); !done) return Fail(done.error());
      return now;
    });
    if (!moved) return Fail(moved.error());
    updated.insert(updated.end(), moved->begin(), moved->end());
  }
  return updated;
}

Result<std::optional<int64_t>> MysqlSeriesStore::Position(const std::string& stream, int32_t partition) {
  Result<std::optional<int64_t>> found = ReadPosition(stream, partition);
  if (!found) return found;
  // Who asks begins anew, perhaps because the database went back: ids that it gave since then are void.
  ForgetAll();
  if (*found) {
    last_positions_[{stream, partition}] = **found;
  } else {
    last_positions_.erase({stream, partition});
  }
  return found;
}

Result<std::optional<int64_t>> MysqlSeriesStore::ReadPosition(const std::string& stream, int32_t partition) {
  return Repeat([&](MysqlConnection& connection) -> Result<std::optional<int64_t>> {
    Result<MysqlStatement*> select =
        connection.Prepare("SELECT next_offset, stream, partition_id FROM stream_position WHERE hash = ?");
    if (!select) return Fail(select.error());
    const std::string hash = PositionHash(stream, partition);
    if (Status run = (*select)->BindText(hash).Run(); !run) return Fail(run.error());
    const Result<bool> row = (*select)->Fetch();
    if (!row) return Fail(row.error());
    if (!*row) return std::nullopt;
    if ((*select)->Text(1) == stream && (*select)->Signed(2) == partition) return (*select)->Signed(0);
    return Fail(Errc::kCorrupt,
                format("stream_position: the hash of {}, partition {} is another's", stream, partition));
  });
}

Result<std::vector<StreamPosition>> MysqlSeriesStore::Checkpoint() {
  Result<std::vector<StreamPosition>> positions =
      Repeat([&](MysqlConnection& connection) -> Result<std::vector<StreamPosition>> {
        std::vector<StreamPosition> all;
        Result<MysqlStatement*> select =
            connection.Prepare("SELECT stream, partition_id, next_offset FROM stream_position");
        if (!select) return Fail(select.error());
        if (Status run = (*select)->Run(); !run) return Fail(run.error());
        for (;;) {
          const Result<bool> row = (*select)->Fetch();
          if (!row) return Fail(row.error());
          if (!*row) return all;
          all.push_back(
              {std::string((*select)->Text(0)), static_cast<int32_t>((*select)->Signed(1)), (*select)->Signed(2)});
        }
      });
  // Little or nothing new came, as on most days: the memory is for others then.
  if (std::exchange(inserted_since_checkpoint_, 0) < kQuietSeries) ForgetAll();
  return positions;
}

void MysqlSeriesStore::ForgetAll() {
  for (MysqlDictionary& dictionary : dictionaries_) dictionary.ForgetAll();
}

}  // namespace mi::store
