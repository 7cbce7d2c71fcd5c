#include "store/series_merge.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "base/format.h"
#include "model/identity.h"

namespace mi::store {
namespace {

// The row of metric_basic_label. Views of the tenant and the labels.
struct BasicLabels {
  std::array<std::string_view, 4> columns;  // tenant, env, service, __name__

  // Where the value of a label belongs; null if it is not one of these.
  std::string_view* ColumnOf(std::string_view name) {
    if (!IsBasicLabel(name)) return nullptr;
    return &columns[name == "env" ? 1 : name == "service" ? 2 : 3];
  }
};

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
    healed_.push_back({.planned = &series, .id = row.id});
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
void SeriesMerge::CollectNew() {
  new_.reserve(static_cast<size_t>(std::ranges::count(matched_, false)));
  for (size_t run = 0; run < matched_.size(); ++run) {
    if (matched_[run]) continue;
    const std::span<const PlannedSeries> variants = plan_.runs()[run];
    new_.push_back({.planned = &variants.front()});
    for (const PlannedSeries& other : variants.subspan(1)) {
      Refuse(other, model::FormatIdentity(plan_.LabelsOf(variants.front())));
    }
  }
  for (NewSeries* series : NewInOrderOfArrival()) Resolve(*series);
}

// new_ in the order in which the series stand in the batches. Each has a place of its own there, so nothing is sorted.
std::vector<NewSeries*> SeriesMerge::NewInOrderOfArrival() {
  std::vector<size_t> begins;  // the place of the first series of each batch
  size_t places = 0;
  for (const model::SeriesBatch& batch : plan_.batches()) {
    begins.push_back(places);
    places += batch.size();
  }
  std::vector<NewSeries*> by_place(places);
  for (NewSeries& series : new_) {
    const Occurrence& at = series.planned->first();
    by_place[begins[at.batch] + at.index] = &series;
  }
  std::erase(by_place, nullptr);
  return by_place;
}

// Sets what the tables have to hold for a series. Asks the dictionaries for its texts, except those that the series
// before has at the same place: the series of one scrape share most of them.
void SeriesMerge::Resolve(NewSeries& series) {
  const PlannedSeries& planned = *series.planned;
  const model::LabelsView labels = plan_.LabelsOf(planned);
  series.fingerprint = planned.fingerprint.ToBytes();
  series.labels.reserve(previous_.size());
  BasicLabels basic{{plan_.TenantOf(planned).name(), "", "", ""}};
  size_t place = 0;
  for (const model::Label& label : labels) {
    if (std::string_view* column = basic.ColumnOf(label.name)) {
      *column = label.value;
      continue;
    }
    if (place == previous_.size()) previous_.push_back({{}, {SIZE_MAX, SIZE_MAX}});
    ResolvedLabel& previous = previous_[place++];
    const bool same_name = previous.slots.name != SIZE_MAX && previous.label.name == label.name;
    if (!same_name) previous.slots.name = dictionaries_.names.Want(label.name, {&label.name, 1});
    if (!same_name || previous.label.value != label.value) {
      previous.slots.value = dictionaries_.values.Want(label.value, {&label.value, 1});
    }
    previous.label = label;
    series.labels.push_back(previous.slots);
  }

  text_.clear();
  for (const std::string_view value : basic.columns) AppendNetstring(value, text_);
  series.basic_label = dictionaries_.basic_labels.Want(text_, basic.columns);

  text_.clear();
  model::AppendIdentity(labels, text_);
  series.content = text_;
}

void SeriesMerge::RefuseClashes() {
  const auto clashes = [this](const NewSeries& series) {
    const Dictionary* clash = ClashOf(series);
    if (clash == nullptr) return false;
    Refuse(*series.planned, format("a row of {} has the hash of another text", clash->table().name));
    return true;
  };
  std::erase_if(new_, clashes);
  std::erase_if(healed_, [&](const NewSeries& series) {
    if (!clashes(series)) return false;
    result_.existing -= series.planned->occurrences.size();
    return true;
  });
  std::ranges::sort(healed_, {}, &NewSeries::id);
  for (const NewSeries& series : healed_) {
    result_.healed.push_back({series.id, series.planned->first().batch, series.planned->first().index});
  }
}

const Dictionary* SeriesMerge::ClashOf(const NewSeries& series) const {
  if (BasicLabelOf(series) == 0) return &dictionaries_.basic_labels;
  for (const auto& [name, value] : series.labels) {
    if (dictionaries_.names.IdAt(name) == 0) return &dictionaries_.names;
    if (dictionaries_.values.IdAt(value) == 0) return &dictionaries_.values;
  }
  return nullptr;
}

// Every occurrence of a series is counted once: the first one as inserted, the others as existing. A caller takes a new
// series' times from the batch of its first occurrence, so it gets an update if the merged times differ from those.
//
// In the order of arrival, because the series of one scrape then are neighbours: their postings are short, and the
// pages of an index stay together.
void SeriesMerge::AssignIds(uint64_t first) {
  const std::vector<NewSeries*> by_arrival = NewInOrderOfArrival();
  by_id_.assign(by_arrival.begin(), by_arrival.end());
  for (NewSeries* series : by_arrival) {
    series->id = first++;
    const PlannedSeries& planned = *series->planned;
    result_.inserted.push_back({series->id, planned.first().batch, planned.first().index});
    result_.existing += planned.occurrences.size() - 1;
    const int64_t told_ms = plan_.SeenAtMs(planned);
    if (planned.first_seen_ms != told_ms || planned.last_seen_ms != told_ms) {
      result_.updated.push_back({series->id, planned.first_seen_ms, planned.last_seen_ms});
    }
  }
}

// Sorted by the key of metric_label, so that each page of it is touched once.
std::vector<Posting> SeriesMerge::Postings() const {
  std::vector<Posting> postings;
  for (const NewSeries& series : new_) {
    for (const auto& [name, value] : series.labels) {
      postings.push_back({dictionaries_.names.IdAt(name), dictionaries_.values.IdAt(value), series.id});
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
