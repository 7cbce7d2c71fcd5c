// MysqlSeriesStore: series that the store does not have yet.
#include "store/mysql_series_store.h"

#include <algorithm>

#include "base/format.h"
#include "model/identity.h"

namespace mi::store {

Status MysqlSeriesStore::GatherFresh(const ApplyCall& call, ApplyResult& result) {
  fresh_.clear();
  labels_.clear();
  contents_.clear();
  for (size_t run = 0; run < call.plan.runs().size(); ++run) {
    if (run_is_known_[run] != 0) continue;
    const std::span<const PlannedSeries> variants = call.plan.runs()[run];
    if (Status gathered = GatherSeries(call, variants.front()); !gathered) return gathered;
    for (const PlannedSeries& other : variants.subspan(1)) {
      AddCollisions(other, model::FormatIdentity(call.plan.LabelsOf(variants.front())), result);
    }
  }
  return {};
}

Status MysqlSeriesStore::GatherSeries(const ApplyCall& call, const PlannedSeries& series) {
  const model::LabelsView labels = call.plan.LabelsOf(series);
  FreshSeries fresh{.planned = &series,
                    .basic_label = 0,
                    .labels_begin = labels_.size(),
                    .labels_end = 0,
                    .content_begin = contents_.size(),
                    .fingerprint = series.fingerprint.ToBytes()};
  for (const model::Label& label : labels) {
    if (!model::IsValidUtf8(label.name) || !model::IsValidUtf8(label.value)) {
      return Fail(Errc::kInvalid,
                  format("a label is not UTF-8, and MySQL keeps only that: {}", model::FormatIdentity(labels)));
    }
    if (IsBasicLabel(label.name)) continue;
    labels_.push_back({.name = dictionaries_[kNames].Want(label.name, {&label.name, 1}),
                       .value = dictionaries_[kValues].Want(label.value, {&label.value, 1})});
  }
  text_.clear();
  const std::array<std::string_view, 4> basic = BasicLabelsOf(call.plan.TenantOf(series), labels);
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

Status MysqlSeriesStore::GiveIds(MysqlConnection& connection, const ApplyCall& call, ApplyResult& result) {
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
    const int64_t told = call.batches[at.batch].seen_at_ms();
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

}  // namespace mi::store
