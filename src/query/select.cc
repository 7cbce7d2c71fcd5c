#include "query/select.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <set>
#include <tuple>
#include <unordered_set>
#include <utility>

namespace mi::query {
namespace {

using catalog::Coverage;
using catalog::PairId;
using catalog::SeriesSet;
using catalog::Snapshot;

// How a selector is answered
//
// A matcher decides by the value of one label, and the catalogue knows the series of each (label, value) pair. So a
// matcher becomes a condition: a list of deciding pairs, and whether it selects the series with those pairs or all
// other series. The latter is for matchers that also match '', because a series without the label has none of the
// pairs:
//
//   job="api"    selects the series with     job=api
//   job!="api"   selects all series but with job=api          (also those without job)
//   job=~"|api"  selects all series but with job=<each value that is neither '' nor api>
//
// Literal values are looked up. Other regular expressions are compared with every value of the label. Conditions are
// then intersected, the most selective one first, and the work ends as soon as the set is empty.
enum class Sense { kWithPairs, kWithoutPairs };

// The number of pairs that a condition keeps. A condition with more pairs finds them again when it is evaluated, if the
// more selective ones leave anything to intersect. So many matchers of a large label hold little memory.
constexpr size_t kMaxKeptPairs = 64 << 10;

// Up to this number of series is read one by one to list their values: reading a series costs about as much as
// testing one pair against a set, and a hundredth of what it costs to make the set of a label.
constexpr uint64_t kFewSeries = 2048;

struct Condition {
  const Matcher* matcher = nullptr;
  Sense sense = Sense::kWithPairs;
  bool any_value = false;       // all pairs of the label; `pairs` is then empty
  bool too_many_pairs = false;  // more than kMaxKeptPairs; `pairs` is then empty
  std::vector<PairId> pairs;
  uint64_t max_series = 0;  // at most so many series have one of the pairs
};

// For loops with steps so short that reading the clock would dominate: it is read once per 64 steps. Sticky.
class SparseCheck {
 public:
  explicit SparseCheck(Bounds* bounds) : bounds_(bounds) {}
  bool Exceeded() {
    if ((++steps_ & 63U) == 0) exceeded_ = exceeded_ || query::Exceeded(bounds_);
    return exceeded_;
  }

 private:
  Bounds* const bounds_;
  unsigned steps_ = 0;
  bool exceeded_ = false;
};

// Whether a series with this value belongs to the deciding ones: it matches, or, if '' matches too, it does not.
bool Decides(const Matcher& matcher, std::string_view value) {
  return matcher.Matches(value) != matcher.matches_empty();
}

// The deciding values if they can be listed. Nothing if every value must be compared: for a regular expression that is
// no list of literals, and for one that has '' in its list.
std::optional<std::vector<std::string_view>> DecidingLiterals(const Matcher& matcher) {
  std::vector<std::string_view> values;
  if (!matcher.regex()) {
    values.emplace_back(matcher.value());
  } else if (const auto* literals = matcher.regex()->literals()) {
    values.assign(literals->begin(), literals->end());
  } else {
    return std::nullopt;
  }
  if (std::ranges::find(values, std::string_view()) != values.end()) return std::nullopt;
  return values;
}

// Whether all values but '' are treated alike (a="", a=~".+", a=~".*"), so that no value needs to be looked at.
bool TreatsAllValuesAlike(const Matcher& matcher) {
  if (!matcher.regex()) return matcher.value().empty();
  const auto* literals = matcher.regex()->literals();
  return matcher.regex()->MatchesAllValues() ||
         (literals != nullptr && literals->size() == 1 && literals->front().empty());
}

// Visits the deciding pairs by comparing every value of the label.
template <typename Visit>
void ScanValues(const Snapshot& snapshot, const Matcher& matcher, Bounds* bounds, Visit visit) {
  const bool slow = matcher.regex() && matcher.regex()->instructions() > 0;  // slower than reading the clock
  SparseCheck check(bounds);
  snapshot.ForEachValue(matcher.name(), [&](std::string_view value, PairId pair) {
    if (slow ? Exceeded(bounds) : check.Exceeded()) return false;
    if (Decides(matcher, value)) visit(pair);
    return true;
  });
}

Condition LookUp(const Snapshot& snapshot, const Matcher& matcher, Bounds* bounds) {
  Condition condition{.matcher = &matcher, .sense = matcher.matches_empty() ? Sense::kWithoutPairs : Sense::kWithPairs};
  if (TreatsAllValuesAlike(matcher)) {
    condition.any_value = Decides(matcher, "any");
    condition.max_series = condition.any_value ? snapshot.series() : 0;
    return condition;
  }
  auto add = [&](PairId pair) {
    condition.max_series += snapshot.CountWithPair(pair);
    if (condition.pairs.size() == kMaxKeptPairs) {
      condition.too_many_pairs = true;
      condition.pairs = {};
    }
    if (!condition.too_many_pairs) condition.pairs.push_back(pair);
  };
  if (const auto literals = DecidingLiterals(matcher)) {
    for (const std::string_view value : *literals) {
      if (const std::optional<PairId> pair = snapshot.FindPair(matcher.name(), value)) add(*pair);
    }
  } else {
    ScanValues(snapshot, matcher, bounds, add);
  }
  return condition;
}

// The series that have one of the deciding pairs.
SeriesSet WithPairs(const Snapshot& snapshot, const Condition& condition, Bounds* bounds) {
  if (condition.any_value) return snapshot.WithLabel(condition.matcher->name());
  if (condition.too_many_pairs) {
    std::vector<PairId> pairs;
    if (!Hold(bounds, condition.max_series * sizeof(PairId))) return {};
    ScanValues(snapshot, *condition.matcher, bounds, [&](PairId pair) { pairs.push_back(pair); });
    return snapshot.WithAnyPair(pairs);
  }
  if (condition.pairs.size() == 1) return snapshot.WithPair(condition.pairs.front());
  return snapshot.WithAnyPair(condition.pairs);
}

// The series that match a selector, out of `base` (null: of all series). First it looks up all conditions: one that no
// series can meet ends the work before any set is built. Then it combines them: those that select series go first, from
// few series to many, because they make the set small; those that exclude series come last, and subtract from it.
SeriesSet Match(const Snapshot& snapshot, const Selector& selector, const SeriesSet* base, Bounds* bounds) {
  std::vector<Condition> conditions;
  std::set<std::tuple<std::string_view, MatchOperator, std::string_view>> known;  // a repeated matcher costs nothing
  for (const Matcher& matcher : selector.matchers) {
    if (!known.emplace(matcher.name(), matcher.op(), matcher.value()).second) continue;
    if (Exceeded(bounds)) return {};
    conditions.push_back(LookUp(snapshot, matcher, bounds));
    if (conditions.back().sense == Sense::kWithPairs && conditions.back().max_series == 0) return {};
  }
  std::ranges::sort(conditions, {}, [](const Condition& c) { return std::pair(c.sense, c.max_series); });
  std::optional<SeriesSet> found;
  auto all = [&] { return base != nullptr ? *base : snapshot.All(); };
  for (const Condition& condition : conditions) {
    if (condition.max_series == 0) continue;  // all series but none
    if (Exceeded(bounds)) return {};
    SeriesSet set = WithPairs(snapshot, condition, bounds);
    if (condition.sense == Sense::kWithoutPairs) {
      if (!found) found = all();
      *found -= set;
    } else if (found) {
      *found &= set;
    } else {
      found = std::move(set);
      if (base != nullptr) *found &= *base;
    }
    if (found->empty()) return {};
  }
  return found ? *std::move(found) : all();
}

enum class Repeats { kNone, kMany };

// Collects strings and returns the first ones in the order of bytes, each once. With a limit it holds at most twice as
// many (or kFewest): when it has that number it drops all but the first ones, and from then on everything behind them.
// So memory follows the limit, and few strings are sorted. The strings are those of a dictionary, which holds each
// once, so a set of addresses finds most repetitions.
class FirstStrings {
 public:
  FirstStrings(size_t limit, Repeats repeats, Bounds* bounds) : limit_(limit), repeats_(repeats), bounds_(bounds) {}

  void Add(std::string_view text) {
    if (last_ && text > *last_) return;
    if (repeats_ == Repeats::kMany && !known_.insert(text.data()).second) return;
    if (items_.size() == held_) {
      held_ += kStep;
      Hold(bounds_, kStep * (repeats_ == Repeats::kMany ? 64 : 16));
    }
    items_.push_back(text);
    if (limit_ != kNoLimit && items_.size() >= kFewest && items_.size() / 2 >= limit_) Cut();
  }

  Strings Take() {
    Cut();
    return {.items = std::move(items_), .cut = last_.has_value()};
  }

 private:
  static constexpr size_t kFewest = 1024;
  static constexpr size_t kStep = 1024;  // strings, for which memory is taken at a time

  void Cut() {
    std::ranges::sort(items_);
    const auto repeated = std::ranges::unique(items_);
    items_.erase(repeated.begin(), repeated.end());
    if (limit_ == kNoLimit || items_.size() <= limit_) return;
    items_.resize(limit_);
    last_ = items_.back();
    known_.clear();
    if (repeats_ == Repeats::kNone) return;
    for (const std::string_view item : items_) known_.insert(item.data());
  }

  const size_t limit_;
  const Repeats repeats_;
  Bounds* const bounds_;
  std::vector<std::string_view> items_;
  std::unordered_set<const char*> known_;  // of items_
  size_t held_ = 0;                        // strings
  std::optional<std::string_view> last_;   // of those that were kept, if any was dropped
};

// How many series a scope covers that has at most a range, so that values and names can be tested against it one by
// one, which makes no set. Nothing for any other scope.
std::optional<Coverage> CoverageOfRangeAlone(const Snapshot& snapshot, const Scope& scope) {
  if (!scope.selectors.empty() || !scope.tenants.empty()) return std::nullopt;
  if (!scope.range) return Coverage::kAll;
  return scope.range->end_ms < scope.range->start_ms ? Coverage::kNone : snapshot.CoverageOf(*scope.range);
}

Strings ReadValues(const Snapshot& snapshot, const SeriesSet& set, std::string_view name, size_t limit,
                   Bounds* bounds) {
  FirstStrings found(limit, Repeats::kMany, bounds);
  catalog::SeriesView series;
  SparseCheck check(bounds);
  set.ForEach([&](catalog::Ordinal ordinal) {
    if (check.Exceeded()) return false;
    snapshot.Read(ordinal, series);
    const auto label = std::ranges::find(series.labels, name, &model::Label::name);
    if (label != series.labels.end()) found.Add(label->value);
    return true;
  });
  return found.Take();
}

// Tests each value of the label against the set, until that has cost as much as reading the series of the set; then
// reads them instead. So the cost is at most twice the cheaper of the two ways.
Strings ValuesIn(const Snapshot& snapshot, const SeriesSet& set, std::string_view name, size_t limit, Bounds* bounds) {
  if (set.size() <= kFewSeries) return ReadValues(snapshot, set, name, limit, bounds);
  FirstStrings found(limit, Repeats::kNone, bounds);
  uint64_t values = 0;
  SparseCheck check(bounds);
  snapshot.ForEachValue(name, [&](std::string_view value, PairId pair) {
    if (check.Exceeded() || ++values >= set.size()) return false;
    if (snapshot.AnyWithPair(pair, set)) found.Add(value);
    return true;
  });
  return values >= set.size() ? ReadValues(snapshot, set, name, limit, bounds) : found.Take();
}

}  // namespace

SeriesSet Select(const Snapshot& snapshot, const Scope& scope) {
  if (scope.range && scope.range->end_ms < scope.range->start_ms) return {};
  std::optional<SeriesSet> base;
  if (!scope.tenants.empty()) base.emplace();
  for (const std::string& tenant : scope.tenants) {
    if (Exceeded(scope.bounds)) return {};
    *base |= snapshot.OfTenant(tenant);
  }
  if (base && base->empty()) return {};  // unknown tenants cost nothing
  SeriesSet found;
  if (scope.selectors.empty()) found = base ? *base : snapshot.All();
  for (const Selector& selector : scope.selectors) {
    found |= Match(snapshot, selector, base ? &*base : nullptr, scope.bounds);
  }
  if (Exceeded(scope.bounds)) return {};
  return scope.range && !found.empty() ? snapshot.SeenIn(found, *scope.range) : found;
}

Strings LabelNames(const Snapshot& snapshot, const Scope& scope, size_t limit) {
  FirstStrings found(limit, Repeats::kNone, scope.bounds);
  const std::optional<Coverage> coverage = CoverageOfRangeAlone(snapshot, scope);
  if (coverage == Coverage::kNone) return {};
  const auto names = [&] {
    const auto give_up = [&] { return Exceeded(scope.bounds); };
    if (!coverage) return snapshot.LabelNamesIn(Select(snapshot, scope), give_up);
    return *coverage == Coverage::kAll ? snapshot.LabelNames() : snapshot.LabelNamesIn(*scope.range, give_up);
  }();
  Hold(scope.bounds, names.size() * sizeof(names[0]));
  for (const std::string_view name : names) found.Add(name);
  return found.Take();
}

Strings LabelValues(const Snapshot& snapshot, std::string_view name, const Scope& scope, size_t limit) {
  const std::optional<Coverage> coverage = CoverageOfRangeAlone(snapshot, scope);
  if (coverage == Coverage::kNone) return {};
  if (!coverage) return ValuesIn(snapshot, Select(snapshot, scope), name, limit, scope.bounds);
  FirstStrings found(limit, Repeats::kNone, scope.bounds);
  SparseCheck check(scope.bounds);
  snapshot.ForEachValue(name, [&](std::string_view value, PairId pair) {
    if (check.Exceeded()) return false;
    if (*coverage == Coverage::kAll || snapshot.AnyWithPair(pair, *scope.range)) found.Add(value);
    return true;
  });
  return found.Take();
}

}  // namespace mi::query
