#include "store/series_merge.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "base/format.h"
#include "model/identity.h"

namespace mi::store {
namespace {

// The columns of metric_basic_label: tenant, env, service, __name__.
constexpr size_t kTenantColumn = 0;
constexpr size_t kMetricColumn = 3;
constexpr size_t kNoColumn = 4;

// Where the value of a label belongs.
size_t ColumnOf(std::string_view name) {
  if (!IsBasicLabel(name)) return kNoColumn;
  return name == "env" ? 1 : name == "service" ? 2 : kMetricColumn;
}

// Compares labels that are parts of canonical bytes: equal sizes have the same bytes between the name and the value, so
// one comparison covers both.
bool AreSame(const model::Label& a, const model::Label& b) {
  return a.name.size() == b.name.size() && a.value.size() == b.value.size() &&
         std::memcmp(a.name.data(), b.name.data(),
                     static_cast<size_t>(a.value.data() + a.value.size() - a.name.data())) == 0;
}

}  // namespace

// How a row that was found under the fingerprint of a series relates to it:
//
//   same content, and the row is whole               kOurs
//   its content has this fingerprint, too            kAnother: two series with one fingerprint
//   its content has not, but the row has it          kDamaged: the content was this series', who else would have it
//
// A row with the same content that lacks something, or whose fingerprint is damaged, is kDamaged as well.
SeriesMerge::StoredAs SeriesMerge::Compare(const StoredIdentity& row, const PlannedSeries& series) {
  text_.clear();
  model::AppendIdentity(plan_.LabelsOf(series), text_);
  const bool same = row.content == text_ && row.tenant == plan_.TenantOf(series).name();
  const bool whole = row.complete && row.fingerprint == series.fingerprint;
  if (same) return whole ? StoredAs::kOurs : StoredAs::kDamaged;
  if (stored_(row.tenant, row.content) == series.fingerprint) return StoredAs::kAnother;
  return StoredAs::kDamaged;
}

// The fingerprint finds a row, but the content decides. Of several identities with this fingerprint at most one is the
// stored one; the others collide.
void SeriesMerge::MatchStored(size_t run, const StoredIdentity& row) {
  assert(!matched_[run]);
  matched_[run] = true;
  bool healed = false;
  for (const PlannedSeries& series : plan_.runs()[run]) {
    const StoredAs stored = Compare(row, series);
    if (stored == StoredAs::kAnother || healed) {
      Refuse(series, row.content);
    } else {
      healed = stored == StoredAs::kDamaged;
      Match(series, row, healed);
    }
  }
}

// A healed series is in moved_ even if its times stay, so that the catalogue learns of those that were stored.
void SeriesMerge::Match(const PlannedSeries& series, const StoredIdentity& row, bool heals) {
  result_.existing += series.occurrences.size();
  if (heals) {
    healed_.push_back({.planned = series, .at = series.first(), .id = row.id});
    Resolve(healed_.back());
  }
  const int64_t first_seen_ms = row.complete ? std::min(row.first_seen_ms, series.first_seen_ms) : series.first_seen_ms;
  const int64_t last_seen_ms = LastSeen(row.last_seen_ms, series.last_seen_ms, now_ms_);
  if (first_seen_ms != row.first_seen_ms || last_seen_ms != row.last_seen_ms || heals) {
    moved_.push_back({row.id, first_seen_ms, last_seen_ms});
  }
}

// What no stored row matched is new. Of several identities under one new fingerprint the one that arrived first is
// stored, since ApplyPlan puts it first; the others collide with it, as they would in a later call.
//
// The plan is in the order of fingerprints, so neighbours are far apart in memory. new_ is in the order of arrival:
// each series has a place of its own in the batches, so nothing is sorted, and from here on all memory is read in its
// order.
void SeriesMerge::CollectNew() {
  std::vector<size_t> begins;  // the place of the first series of each batch
  size_t places = 0;
  size_t bytes = 0;
  for (const model::SeriesBatch& batch : plan_.batches()) {
    begins.push_back(places);
    places += batch.size();
    bytes += batch.byte_size();
  }
  std::vector<const PlannedSeries*> by_place(places);
  size_t count = 0;
  for (size_t run = 0; run < matched_.size(); ++run) {
    if (matched_[run]) continue;
    const std::span<const PlannedSeries> variants = plan_.runs()[run];
    const Occurrence& at = variants.front().first();
    by_place[begins[at.batch] + at.index] = &variants.front();
    ++count;
    for (const PlannedSeries& other : variants.subspan(1)) {
      Refuse(other, model::FormatIdentity(plan_.LabelsOf(variants.front())));
    }
  }
  if (count == 0) return;
  new_.reserve(count);
  // The text of a series is mostly shorter than its canonical labels.
  contents_.reserve(contents_.size() + bytes / places * count);
  for (size_t batch = 0; batch < begins.size(); ++batch) {
    for (size_t i = 0; i < plan_.batches()[batch].size(); ++i) {
      const PlannedSeries* planned = by_place[begins[batch] + i];
      if (planned == nullptr) continue;
      new_.push_back({.planned = *planned, .at = {batch, i}});
      Resolve(new_.back());
    }
  }
}

// Sets what the tables have to hold for a series. The series of one scrape share most of their labels. So each label is
// compared with the one that the series before has at the same place. If both are equal, it has the same pair and the
// same part of the content; only other labels are looked up and written. All texts stand in one string, and all pairs
// in one list, so a series allocates nothing.
void SeriesMerge::Resolve(NewSeries& series) {
  const model::SeriesBatch& batch = plan_.batches()[series.at.batch];
  series.fingerprint = series.planned.fingerprint.ToBytes();
  series.pairs_begin = series_pairs_.size();
  std::array<std::string_view, 4> basic;
  basic[kTenantColumn] = batch.tenant().name();
  size_t places = 0;
  for (const model::Label& label : batch[series.at.index].labels) {
    if (label.name == model::kMetricName) {
      basic[kMetricColumn] = label.value;
      continue;
    }
    if (places == previous_.size()) previous_.emplace_back();
    ResolvedLabel& resolved = previous_[places++];
    if (!AreSame(resolved.label, label)) ResolveLabel(label, resolved);
    resolved.label = label;
    if (resolved.column == kNoColumn) {
      series_pairs_.push_back(resolved.pair);
    } else {
      basic[resolved.column] = label.value;
    }
  }
  series.pairs_end = series_pairs_.size();
  WantBasicLabels(basic, series);

  series.content_begin = contents_.size();
  model::BeginIdentity(basic[kMetricColumn], contents_);
  for (size_t i = 0; i < places; ++i) contents_.append(previous_[i].text);
  model::EndIdentity(contents_);
  series.content_end = contents_.size();
}

// resolved.label is still that of the series before.
void SeriesMerge::ResolveLabel(const model::Label& label, ResolvedLabel& resolved) {
  if (resolved.label.name != label.name) {
    resolved.column = ColumnOf(label.name);
    if (resolved.column == kNoColumn) resolved.name = dictionaries_.names.Want(label.name, {&label.name, 1});
  }
  resolved.text.clear();
  model::AppendIdentityLabel(label, resolved.text);
  if (resolved.column != kNoColumn) return;
  const PairSlots slots{resolved.name, dictionaries_.values.Want(label.value, {&label.value, 1})};
  const auto next = static_cast<PairNumber>(pairs_.size());
  const auto [pair, is_new] = pair_by_slots_.try_emplace(uint64_t{slots.name} << 32 | slots.value, next);
  if (is_new) pairs_.push_back(slots);
  resolved.pair = pair->second;
}

// Mostly only the metric's name, the last part of the key, differs from that of the series before.
void SeriesMerge::WantBasicLabels(const std::array<std::string_view, 4>& columns, NewSeries& series) {
  const auto shared = std::span(columns).first(kMetricColumn);
  if (basic_prefix_ == 0 || !std::ranges::equal(shared, std::span(previous_basic_).first(kMetricColumn))) {
    basic_key_.clear();
    for (const std::string_view value : shared) AppendNetstring(value, basic_key_);
    basic_prefix_ = basic_key_.size();
    previous_basic_ = columns;
  }
  basic_key_.resize(basic_prefix_);
  AppendNetstring(columns[kMetricColumn], basic_key_);
  series.basic_label = dictionaries_.basic_labels.Want(basic_key_, columns);
}

void SeriesMerge::RefuseClashes() {
  const auto clashes = [this](const NewSeries& series) {
    const Dictionary* clash = ClashOf(series);
    if (clash == nullptr) return false;
    Refuse(series.planned, format("a row of {} has the hash of another text", clash->table().name));
    return true;
  };
  if (dictionaries_.HasRefused()) {
    std::erase_if(new_, clashes);
    std::erase_if(healed_, [&](const NewSeries& series) {
      if (!clashes(series)) return false;
      result_.existing -= series.planned.occurrences.size();
      return true;
    });
  }
  std::ranges::sort(healed_, {}, &NewSeries::id);
  for (const NewSeries& series : healed_) {
    result_.healed.push_back({series.id, series.at.batch, series.at.index});
  }
}

const Dictionary* SeriesMerge::ClashOf(const NewSeries& series) const {
  if (BasicLabelOf(series) == 0) return &dictionaries_.basic_labels;
  for (const PairNumber pair : PairsOf(series)) {
    const auto [name, value] = IdsOf(pair);
    if (name == 0) return &dictionaries_.names;
    if (value == 0) return &dictionaries_.values;
  }
  return nullptr;
}

// Every occurrence of a series is counted once: the first one as inserted, the others as existing. A caller takes a new
// series' times from the batch of its first occurrence, so it gets an update if the merged times differ from those.
//
// In the order of arrival, because the series of one scrape then are neighbours: their postings are short, and the
// pages of an index stay together.
void SeriesMerge::AssignIds(uint64_t first) {
  result_.inserted.reserve(new_.size());
  for (NewSeries& series : new_) {
    series.id = first++;
    const PlannedSeries& planned = series.planned;
    result_.inserted.push_back({series.id, series.at.batch, series.at.index});
    result_.existing += planned.occurrences.size() - 1;
    const int64_t told_ms = plan_.batches()[series.at.batch].seen_at_ms();
    if (planned.first_seen_ms != told_ms || planned.last_seen_ms != told_ms) {
      result_.updated.push_back({series.id, planned.first_seen_ms, planned.last_seen_ms});
    }
  }
}

std::vector<const NewSeries*> SeriesMerge::NewSeriesByFingerprint() const {
  std::vector<const NewSeries*> sorted;
  sorted.reserve(new_.size());
  for (const NewSeries& series : new_) sorted.push_back(&series);
  std::ranges::sort(sorted, {}, [](const NewSeries* series) { return series->planned.fingerprint; });
  return sorted;
}

// Sorted by the key of metric_label, so that each page of it is touched once.
std::vector<Posting> SeriesMerge::Postings() const {
  std::vector<Posting> postings;
  for (const NewSeries& series : new_) {
    for (const PairNumber pair : PairsOf(series)) {
      const auto [name, value] = IdsOf(pair);
      postings.push_back({name, value, series.id});
    }
  }
  std::ranges::sort(postings);
  return postings;
}

std::vector<SeenUpdate> SeriesMerge::Moved() const {
  std::vector<SeenUpdate> moved = moved_;
  std::ranges::sort(moved, {}, &SeenUpdate::id);
  return moved;
}

ApplyResult SeriesMerge::TakeResult(std::span<const SeenUpdate> moved) {
  result_.updated.insert(result_.updated.end(), moved.begin(), moved.end());
  return std::move(result_);
}

void SeriesMerge::Refuse(const PlannedSeries& series, std::string_view stored_content) {
  for (const Occurrence& at : series.occurrences) {
    result_.collisions.push_back({at.batch, at.index, std::string(stored_content)});
  }
}

}  // namespace mi::store
