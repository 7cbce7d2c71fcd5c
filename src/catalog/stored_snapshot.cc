#include "catalog/stored_snapshot.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <unordered_map>

#include "catalog/interner.h"

namespace mi::catalog {
namespace {

// If a pair has more series than this, an intersection of compressed sets is faster than testing each series.
constexpr uint64_t kFewSeries = 4096;
// This number of series is tested for one that is in a set before two sets are intersected.
constexpr uint32_t kFewTests = 4096;
// This number of series is read for their names before shapes are tested.
constexpr uint64_t kFewNames = 256;
// Longer activity intervals mean "always", and must not overflow.
constexpr uint64_t kLongestInterval = uint64_t{1} << 40;

int64_t FloorSeconds(int64_t ms) { return ms / 1000 - (ms % 1000 < 0 ? 1 : 0); }
int64_t CeilSeconds(int64_t ms) { return ms / 1000 + (ms % 1000 > 0 ? 1 : 0); }

}  // namespace

StoredSnapshot::StoredSnapshot(std::shared_ptr<Storage> storage, uint64_t activity_interval_s,
                               const Catalog::Stats& stats)
    : storage_(storage),
      dictionary_(storage_->dictionary),
      postings_(storage_->postings.View()),
      series_(storage_->series.size()),
      metadata_(storage->metadata.Share()),
      activity_interval_s_(static_cast<int64_t>(std::min(activity_interval_s, kLongestInterval))),
      stats_(stats) {}

// Each series has exactly one shape, and series share a shape if they have the same tenant and label names. So there
// are few shapes, and a union over those that qualify replaces a union over all values of a label. Costs a pass over
// all shapes, and the postings of those that qualify.
template <typename Wanted>
SeriesSet StoredSnapshot::WithShapes(Wanted wanted) const {
  SetBuilder builder(series_);
  dictionary_.ForEachPair(kShapes, [&](PairId shape) {
    if (wanted(ShapeView(dictionary_.Value(shape)))) postings_.AddTo(dictionary_.pair(shape), builder);
    return true;
  });
  return builder.Build();
}

SeriesSet StoredSnapshot::OfTenant(std::string_view tenant) const {
  const auto pair = dictionary_.FindPair(kTenants, tenant);
  if (!pair) return {};
  return WithShapes([&](const ShapeView& shape) { return shape.tenant() == *pair; });
}

std::vector<std::string_view> StoredSnapshot::Tenants() const {
  std::vector<std::string_view> tenants;
  dictionary_.ForEachPair(kTenants, [&](PairId pair) {
    tenants.push_back(dictionary_.Value(pair));
    return true;
  });
  std::ranges::sort(tenants);
  return tenants;
}

bool StoredSnapshot::HasTenant(std::string_view tenant) const {
  return dictionary_.FindPair(kTenants, tenant).has_value();
}

std::vector<std::string_view> StoredSnapshot::LabelNames() const {
  std::vector<std::string_view> names;
  names.reserve(dictionary_.name_count());
  for (NameId id = kReservedNames; id < dictionary_.name_count(); ++id) names.push_back(dictionary_.name(id).text);
  std::ranges::sort(names);
  return names;
}

// A name is in use if one of its shapes has a series that qualifies.
class StoredSnapshot::NamesFound {
 public:
  explicit NamesFound(const Dictionary::View& dictionary) : dictionary_(dictionary), found_(dictionary.name_count()) {}

  void Add(PairId shape) {
    ShapeView(dictionary_.Value(shape)).ForEachName([&](NameId name) {
      if (!found_[name]) names_.push_back(dictionary_.name(name).text);
      found_[name] = true;
    });
  }

  // Adds every shape for which has_series(PairId) is true. Only a shape with a name that is not found yet is tested.
  template <typename HasSeries>
  void AddShapes(HasSeries has_series, const std::function<bool()>& give_up) {
    uint32_t shapes = 0;
    dictionary_.ForEachPair(kShapes, [&](PairId shape) {
      if ((++shapes & 63U) == 0 && give_up()) return false;
      bool is_news = false;
      ShapeView(dictionary_.Value(shape)).ForEachName([&](NameId name) { is_news |= !found_[name]; });
      if (is_news && has_series(shape)) Add(shape);
      return true;
    });
  }

  std::vector<std::string_view> Take() { return std::move(names_); }

 private:
  const Dictionary::View& dictionary_;
  std::vector<bool> found_;
  std::vector<std::string_view> names_;
};

// The first series give most names at the cost of reading them. Then shapes are tested. Every series has one shape, so
// all tests together read each posting once.
std::vector<std::string_view> StoredSnapshot::LabelNamesIn(const SeriesSet& within,
                                                           const std::function<bool()>& give_up) const {
  NamesFound names(dictionary_);
  uint64_t unread = within.size();
  uint64_t may_read = kFewNames;
  std::vector<PairId> pairs;
  PairId latest = kNoPair;  // the shape that was added last: most series have the shape of the one before
  within.ForEach([&](Ordinal ordinal) {
    pairs.clear();
    storage_->series.Read(ordinal, [&](PairId id) { pairs.push_back(id); });
    if (std::ranges::find(pairs, latest) == pairs.end()) {
      latest = *std::ranges::find(pairs, kShapes, [&](PairId id) { return dictionary_.pair(id).name; });
      names.Add(latest);
    }
    --unread;
    return --may_read > 0;
  });
  if (unread > 0) names.AddShapes([&](PairId shape) { return AnyWithPair(shape, within); }, give_up);
  return names.Take();
}

std::vector<std::string_view> StoredSnapshot::LabelNamesIn(model::TimeRange range,
                                                           const std::function<bool()>& give_up) const {
  NamesFound names(dictionary_);
  names.AddShapes([&](PairId shape) { return AnyWithPair(shape, range); }, give_up);
  return names.Take();
}

void StoredSnapshot::ForEachValue(std::string_view name,
                                  const std::function<bool(std::string_view value, PairId pair)>& visit) const {
  const auto id = dictionary_.FindName(name);
  if (!id) return;
  dictionary_.ForEachPair(*id, [&](PairId pair) { return visit(dictionary_.Value(pair), pair); });
}

std::optional<PairId> StoredSnapshot::FindPair(std::string_view name, std::string_view value) const {
  const auto id = dictionary_.FindName(name);
  if (!id) return std::nullopt;
  return dictionary_.FindPair(*id, value);
}

SeriesSet StoredSnapshot::WithAnyPair(std::span<const PairId> pairs) const {
  SetBuilder builder(series_);
  for (const PairId pair : pairs) postings_.AddTo(dictionary_.pair(pair), builder);
  return builder.Build();
}

SeriesSet StoredSnapshot::WithLabel(std::string_view name) const {
  const auto id = dictionary_.FindName(name);
  if (!id) return {};
  return WithShapes([&](const ShapeView& shape) { return shape.Has(*id); });
}

// Few series: each run of the postings is tested against `within`, and no set is built. Many series: the postings
// become a set, and CRoaring intersects the two block by block. Both give the same count.
uint64_t StoredSnapshot::CountWithPair(PairId pair, const SeriesSet& within) const {
  if (CountWithPair(pair) > kFewSeries) return WithPair(pair).CountIn(within);
  uint64_t count = 0;
  postings_.ForEachRun(dictionary_.pair(pair), [&](uint32_t first, uint32_t run) {
    count += run == 1 ? (within.Contains(first) ? 1 : 0) : within.CountInRange(first, uint64_t{first} + run);
    return true;
  });
  return count;
}

// Tests the newest series first, since they are the most likely to live: a pair that is in use costs one test, however
// many series it has. Windows where `within` has nothing are passed over.
bool StoredSnapshot::AnyWithPair(PairId pair, const SeriesSet& within) const {
  uint32_t tests_left = kFewTests;
  bool found = false;
  postings_.ForEachRun(
      dictionary_.pair(pair),
      [&](uint32_t window) {
        return within.IntersectsRange(uint64_t{window} * kWindow, (uint64_t{window} + 1) * kWindow);
      },
      [&](uint32_t first, uint32_t run) {
        found = run == 1 ? within.Contains(first) : within.IntersectsRange(first, uint64_t{first} + run);
        return !found && --tests_left > 0;
      });
  return found || (tests_left == 0 && WithPair(pair).Intersects(within));
}

bool StoredSnapshot::AnyWithPair(PairId pair, model::TimeRange range) const {
  const std::optional<SeenCondition> condition = ConditionOf(range);
  if (!condition) return false;
  const SeriesLog& log = storage_->series;
  return !postings_.ForEachRun(
      dictionary_.pair(pair), [&](uint32_t window) { return log.SeenWindow(window, *condition) != Coverage::kNone; },
      [&](uint32_t first, uint32_t run) { return !log.AnySeen(first, run, *condition); });
}

void StoredSnapshot::CountPairs(const SeriesSet& within, std::vector<uint32_t>& counts) const {
  counts.assign(dictionary_.pair_count(), 0);
  within.ForEach([&](Ordinal ordinal) {
    storage_->series.Read(ordinal, [&](PairId pair) { ++counts[pair]; });
    return true;
  });
}

// first <= end and last + interval >= start, with both sides in whole seconds. Times that the series cannot have are
// replaced by the nearest that they can.
std::optional<SeenCondition> StoredSnapshot::ConditionOf(model::TimeRange range) const {
  constexpr int64_t kMost = std::numeric_limits<uint32_t>::max();
  const int64_t latest_first = FloorSeconds(range.end_ms);
  const int64_t earliest_last = CeilSeconds(range.start_ms) - activity_interval_s_;
  if (latest_first < 0 || earliest_last > kMost) return std::nullopt;
  return SeenCondition{.latest_first = static_cast<uint32_t>(std::min(latest_first, kMost)),
                       .earliest_last = static_cast<uint32_t>(std::max<int64_t>(earliest_last, 0))};
}

// A small set is tested series by series. Otherwise all series are tested, 64 at a time (SeriesLog::SeenWord), which is
// cheaper than walking through a large set.
SeriesSet StoredSnapshot::SeenIn(const SeriesSet& set, model::TimeRange range) const {
  const std::optional<SeenCondition> condition = ConditionOf(range);
  if (!condition) return {};
  const Coverage coverage = CoverageOf(range);
  if (coverage == Coverage::kAll) return set;
  if (coverage == Coverage::kNone) return {};
  if (set.size() > series_ / SeriesLog::kWordSeries) {
    SeriesSet seen = AllSeen(*condition);
    seen &= set;
    return seen;
  }
  SetBuilder builder(series_);
  set.ForEach([&](Ordinal ordinal) {
    if ((*condition)(storage_->series.Times(ordinal))) builder.Add(ordinal);
    return true;
  });
  return builder.Build();
}

Coverage StoredSnapshot::CoverageOf(model::TimeRange range) const {
  const std::optional<SeenCondition> condition = ConditionOf(range);
  if (!condition) return Coverage::kNone;
  uint32_t all = 0;
  uint32_t none = 0;
  for (uint32_t window = 0; window < windows(); ++window) {
    const Coverage coverage = storage_->series.SeenWindow(window, *condition);
    all += coverage == Coverage::kAll ? 1 : 0;
    none += coverage == Coverage::kNone ? 1 : 0;
  }
  if (none == windows()) return Coverage::kNone;
  return all == windows() ? Coverage::kAll : Coverage::kSome;
}

// Every series that the condition selects, window by window.
SeriesSet StoredSnapshot::AllSeen(SeenCondition condition) const {
  constexpr uint32_t kSeries = SeriesLog::kWordSeries;
  const SeriesLog& log = storage_->series;
  SetBuilder builder(series_);
  for (uint32_t window = 0; window < windows(); ++window) {
    const Coverage coverage = log.SeenWindow(window, condition);
    if (coverage == Coverage::kNone) continue;
    const uint32_t count = std::min(series_ - window * kWindow, kWindow);
    uint64_t* const words = builder.Window(window);
    if (coverage == Coverage::kAll) {
      SetBits(words, 0, count);
      continue;
    }
    for (uint32_t begin = 0; begin < count; begin += kSeries) {
      const uint64_t published = ~uint64_t{0} >> (kSeries - std::min(count - begin, kSeries));
      words[begin / kSeries] = log.SeenWord((window * kWindow + begin) / kSeries, condition) & published;
    }
  }
  return builder.Build();
}

void StoredSnapshot::Read(Ordinal ordinal, SeriesView& out) const {
  out.labels.clear();
  out.id = storage_->series.Read(ordinal, [&](PairId id) {
    const Pair& pair = dictionary_.pair(id);
    if (pair.name == kShapes) {
      out.tenant = dictionary_.Value(ShapeView(GetText(pair.value)).tenant());
    } else {
      out.labels.push_back({dictionary_.name(pair.name).text, GetText(pair.value)});
    }
  });
  std::ranges::sort(out.labels, {}, &model::Label::name);
  const SeenTimes times = storage_->series.Times(ordinal);
  out.first_seen_ms = int64_t{times.first} * 1000;
  out.last_seen_ms = int64_t{times.last} * 1000;
}

void StoredSnapshot::ForEachMetadata(std::span<const std::string> tenants,
                                     const std::function<bool(const store::StoredMetadata&)>& visit) const {
  std::vector<const MetadataLog::Family*> found;
  for (const auto& family : *metadata_) {
    const bool wanted = tenants.empty() || std::ranges::find(tenants, family->front().tenant.name()) != tenants.end();
    if (wanted) found.push_back(family.get());
  }
  std::ranges::sort(found, {}, [](const MetadataLog::Family* texts) {
    return std::tie(texts->front().metadata.family, texts->front().tenant.name());
  });
  for (const MetadataLog::Family* texts : found) {
    if (!std::ranges::all_of(*texts, visit)) return;
  }
}

std::vector<std::pair<std::string_view, uint64_t>> StoredSnapshot::CountByTenant() const {
  std::unordered_map<PairId, uint64_t> counts;
  dictionary_.ForEachPair(kShapes, [&](PairId shape) {
    counts[ShapeView(dictionary_.Value(shape)).tenant()] += postings_.Count(dictionary_.pair(shape));
    return true;
  });
  std::vector<std::pair<std::string_view, uint64_t>> named;
  named.reserve(counts.size());
  for (const auto& [tenant, count] : counts) named.emplace_back(dictionary_.Value(tenant), count);
  return named;
}

}  // namespace mi::catalog
