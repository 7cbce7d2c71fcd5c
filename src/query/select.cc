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

// Up to this number of series is read one by one to list their names or values: reading a series costs about as much as
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

bool Passed(const Deadline* deadline) { return deadline != nullptr && deadline->passed(); }

// For loops with steps so short that reading the clock would dominate: it is read once per 64 steps. Sticky.
class SparseCheck {
 public:
  explicit SparseCheck(const Deadline* deadline) : deadline_(deadline) {}
  bool Passed() {
    if ((++steps_ & 63U) == 0) passed_ = passed_ || query::Passed(deadline_);
    return passed_;
  }

 private:
  const Deadline* const deadline_;
  unsigned steps_ = 0;
  bool passed_ = false;
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
void ScanValues(const Snapshot& snapshot, const Matcher& matcher, const Deadline* deadline, Visit visit) {
  const bool slow = matcher.regex() && matcher.regex()->has_program();  // slower than reading the clock
  SparseCheck check(deadline);
  snapshot.ForEachValue(matcher.name(), [&](std::string_view value, PairId pair) {
    if (slow ? Passed(deadline) : check.Passed()) return false;
    if (Decides(matcher, value)) visit(pair);
    return true;
  });
}

Condition LookUp(const Snapshot& snapshot, const Matcher& matcher, const Deadline* deadline) {
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
    ScanValues(snapshot, matcher, deadline, add);
  }
  return condition;
}

// The series that have one of the deciding pairs.
SeriesSet WithPairs(const Snapshot& snapshot, const Condition& condition, const Deadline* deadline) {
  if (condition.any_value) return snapshot.WithLabel(condition.matcher->name());
  if (condition.too_many_pairs) {
    std::vector<PairId> pairs;
    ScanValues(snapshot, *condition.matcher, deadline, [&](PairId pair) { pairs.push_back(pair); });
    return snapshot.WithAnyPair(pairs);
  }
  if (condition.pairs.size() == 1) return snapshot.WithPair(condition.pairs.front());
  return snapshot.WithAnyPair(condition.pairs);
}

// The series that match a selector, out of `base` (null: of all series). First it looks up all conditions: one that no
// series can meet ends the work before any set is built. Then it combines them: those that select series go first, from
// few series to many, because they make the set small; those that exclude series come last, and subtract from it.
SeriesSet Match(const Snapshot& snapshot, const Selector& selector, const SeriesSet* base, const Deadline* deadline) {
  std::vector<Condition> conditions;
  std::set<std::tuple<std::string_view, MatchOperator, std::string_view>> known;  // a repeated matcher costs nothing
  for (const Matcher& matcher : selector.matchers) {
    if (!known.emplace(matcher.name(), matcher.op(), matcher.value()).second) continue;
    if (Passed(deadline)) return {};
    conditions.push_back(LookUp(snapshot, matcher, deadline));
    if (conditions.back().sense == Sense::kWithPairs && conditions.back().max_series == 0) return {};
  }
  std::ranges::sort(conditions, {}, [](const Condition& c) { return std::pair(c.sense, c.max_series); });
  std::optional<SeriesSet> found;
  auto all = [&] { return base != nullptr ? *base : snapshot.All(); };
  for (const Condition& condition : conditions) {
    if (condition.max_series == 0) continue;  // all series but none
    if (Passed(deadline)) return {};
    SeriesSet set = WithPairs(snapshot, condition, deadline);
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

Strings SortAndCut(std::vector<std::string_view> items, size_t limit) {
  Strings strings{.items = std::move(items)};
  if (limit != kNoLimit && strings.items.size() > limit) {
    std::ranges::partial_sort(strings.items, strings.items.begin() + static_cast<std::ptrdiff_t>(limit));
    strings.items.resize(limit);
    strings.cut = true;
  } else {
    std::ranges::sort(strings.items);
  }
  return strings;
}

bool IsEverything(const Scope& scope) { return scope.selectors.empty() && scope.tenants.empty() && !scope.range; }

// What `pick` takes from the first `max_series` series of a set, sorted, each once.
template <typename Pick>
std::vector<std::string_view> ReadSeries(const Snapshot& snapshot, const SeriesSet& set, uint64_t max_series,
                                         const Deadline* deadline, Pick pick) {
  std::vector<std::string_view> found;
  std::unordered_set<const char*> known;  // a dictionary holds each string once, so this finds most repetitions
  auto add = [&](std::string_view text) {
    if (known.insert(text.data()).second) found.push_back(text);
  };
  catalog::SeriesView series;
  SparseCheck check(deadline);
  set.ForEach([&](catalog::Ordinal ordinal) {
    if (max_series-- == 0 || check.Passed()) return false;
    snapshot.Read(ordinal, series);
    pick(series, add);
    return true;
  });
  std::ranges::sort(found);
  const auto repeated = std::ranges::unique(found);
  found.erase(repeated.begin(), repeated.end());
  return found;
}

std::vector<std::string_view> ReadValues(const Snapshot& snapshot, const SeriesSet& set, std::string_view name,
                                         const Deadline* deadline) {
  return ReadSeries(snapshot, set, set.size(), deadline, [&](const catalog::SeriesView& series, auto& add) {
    const auto label = std::ranges::find(series.labels, name, &model::Label::name);
    if (label != series.labels.end()) add(label->value);
  });
}

}  // namespace

SeriesSet Select(const Snapshot& snapshot, const Scope& scope) {
  std::optional<SeriesSet> base;
  if (!scope.tenants.empty()) base.emplace();
  for (const std::string& tenant : scope.tenants) *base |= snapshot.OfTenant(tenant);
  SeriesSet found;
  if (scope.selectors.empty()) found = base ? *base : snapshot.All();
  for (const Selector& selector : scope.selectors) {
    found |= Match(snapshot, selector, base ? &*base : nullptr, scope.deadline);
  }
  if (Passed(scope.deadline)) return {};
  return scope.range && !found.empty() ? snapshot.SeenIn(found, *scope.range) : found;
}

// The first series are read for their names. Only the names that none of them has are tested against the whole set.
Strings LabelNames(const Snapshot& snapshot, const Scope& scope, size_t limit) {
  if (IsEverything(scope)) return SortAndCut(snapshot.LabelNames(), limit);
  const SeriesSet set = Select(snapshot, scope);
  std::vector<std::string_view> found =
      ReadSeries(snapshot, set, kFewSeries, scope.deadline, [](const catalog::SeriesView& series, auto& add) {
        for (const model::Label& label : series.labels) add(label.name);
      });
  if (set.size() > kFewSeries) {
    std::vector<std::string_view> others;
    std::ranges::set_difference(snapshot.LabelNames(), found, std::back_inserter(others));
    std::ranges::copy_if(others, std::back_inserter(found), [&](std::string_view name) {
      return !Passed(scope.deadline) && snapshot.WithLabel(name).Intersects(set);
    });
  }
  return SortAndCut(std::move(found), limit);
}

// Tests each value of the label against the set, until that has cost as much as reading the series of the set; then
// reads them instead. So the cost is at most twice the cheaper of the two ways.
Strings LabelValues(const Snapshot& snapshot, std::string_view name, const Scope& scope, size_t limit) {
  std::optional<SeriesSet> set;
  if (!IsEverything(scope)) {
    set = Select(snapshot, scope);
    if (set->size() <= kFewSeries) return SortAndCut(ReadValues(snapshot, *set, name, scope.deadline), limit);
  }
  std::vector<std::string_view> found;
  uint64_t values = 0;
  SparseCheck check(scope.deadline);
  snapshot.ForEachValue(name, [&](std::string_view value, PairId pair) {
    if (check.Passed()) return false;
    if (set && ++values >= set->size()) return false;
    if (!set || snapshot.AnyWithPair(pair, *set)) found.push_back(value);
    return true;
  });
  if (set && values >= set->size()) found = ReadValues(snapshot, *set, name, scope.deadline);
  return SortAndCut(std::move(found), limit);
}

}  // namespace mi::query
