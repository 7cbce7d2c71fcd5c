#include "query/select.h"

#include <algorithm>
#include <cstdint>
#include <functional>
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

// The series that a matcher picks out (kOf), or all but those (kAllBut: also the ones without the label).
enum class Sense { kOf, kAllBut };

// How many pairs a matcher keeps until its turn comes. One that is decided by more is walked again then, if it ever
// comes to that: the more selective ones go first. Thus many matchers of a large label hold little memory.
constexpr size_t kMaxKeptPairs = 64 << 10;

// A matcher, looked up: the pairs that decide it, and how many series they stand on at most.
struct Condition {
  const Matcher* matcher = nullptr;
  Sense sense = Sense::kOf;
  bool any_value = false;  // every series with the label; `pairs` is then empty
  bool too_many = false;   // more than kMaxKeptPairs: `pairs` is then empty
  std::vector<PairId> pairs;
  uint64_t at_most = 0;
};

// Looks at the clock now and then. Threads: confined to one.
class Watch {
 public:
  enum class Steps { kLong, kShort };  // kShort: so short that not each is worth a look
  Watch(const Patience* patience, Steps steps) : patience_(patience), mask_(steps == Steps::kLong ? 0 : 63) {}
  // Sticky.
  bool Ended() {
    if (!ended_ && patience_ != nullptr && (++steps_ & mask_) == 0) ended_ = patience_->ended();
    return ended_;
  }

 private:
  const Patience* const patience_;
  const unsigned mask_;
  unsigned steps_ = 0;
  bool ended_ = false;
};

bool Ended(const Patience* patience) { return patience != nullptr && patience->ended(); }

// The values by which series are told apart: those that match, or, when '' matches too, those that do not.
bool Decides(const Matcher& matcher, std::string_view value) {
  return matcher.Matches(value) != matcher.matches_empty();
}

// The values that decide a matcher, when it names them; null when only a walk over all values of the label can tell, as
// for a=~"|x", which is decided by every value but x.
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

// Whether a matcher only tells '' from the rest (a="", a=~".+"), or nothing from nothing (a=~".*").
bool TreatsAllValuesAlike(const Matcher& matcher) {
  if (!matcher.regex()) return matcher.value().empty();
  const auto* literals = matcher.regex()->literals();
  return matcher.regex()->MatchesAllValues() ||
         (literals != nullptr && literals->size() == 1 && literals->front().empty());
}

// The pairs that decide a matcher that only a walk can tell. `visit` gives false to end it.
template <typename Visit>
void Walk(const Snapshot& snapshot, const Matcher& matcher, const Patience* patience, Visit visit) {
  const bool program = matcher.regex() && matcher.regex()->has_program();
  Watch watch(patience, program ? Watch::Steps::kLong : Watch::Steps::kShort);
  snapshot.ForEachValue(matcher.name(), [&](std::string_view value, PairId pair) {
    if (watch.Ended()) return false;
    if (Decides(matcher, value)) visit(pair);
    return true;
  });
}

Condition LookUp(const Snapshot& snapshot, const Matcher& matcher, const Patience* patience) {
  Condition condition{.matcher = &matcher, .sense = matcher.matches_empty() ? Sense::kAllBut : Sense::kOf};
  if (TreatsAllValuesAlike(matcher)) {
    condition.any_value = Decides(matcher, "any");
    condition.at_most = condition.any_value ? snapshot.series() : 0;
    return condition;
  }
  auto add = [&](PairId pair) {
    condition.at_most += snapshot.CountWithPair(pair);
    if (condition.pairs.size() == kMaxKeptPairs) {
      condition.too_many = true;
      condition.pairs = {};
    }
    if (!condition.too_many) condition.pairs.push_back(pair);
  };
  if (const auto literals = DecidingLiterals(matcher)) {
    for (const std::string_view value : *literals) {
      if (const std::optional<PairId> pair = snapshot.FindPair(matcher.name(), value)) add(*pair);
    }
  } else {
    Walk(snapshot, matcher, patience, add);
  }
  return condition;
}

SeriesSet Evaluate(const Snapshot& snapshot, const Condition& condition, const Patience* patience) {
  if (condition.any_value) return snapshot.WithLabel(condition.matcher->name());
  if (condition.too_many) {
    std::vector<PairId> pairs;
    Walk(snapshot, *condition.matcher, patience, [&](PairId pair) { pairs.push_back(pair); });
    return snapshot.WithAnyPair(pairs);
  }
  if (condition.pairs.size() == 1) return snapshot.WithPair(condition.pairs.front());
  return snapshot.WithAnyPair(condition.pairs);
}

// Narrows from the most selective condition on, and stops as soon as nothing is left. `base` are those that may answer;
// none: all.
SeriesSet Match(const Snapshot& snapshot, const Selector& selector, const SeriesSet* base, const Patience* patience) {
  std::vector<Condition> conditions;
  conditions.reserve(selector.matchers.size());
  std::set<std::tuple<std::string_view, MatchOperator, std::string_view>> met;  // what is said twice is asked once
  for (const Matcher& matcher : selector.matchers) {
    if (!met.emplace(matcher.name(), matcher.op(), matcher.value()).second) continue;
    if (Ended(patience)) return {};
    conditions.push_back(LookUp(snapshot, matcher, patience));
    if (conditions.back().sense == Sense::kOf && conditions.back().at_most == 0) return {};
  }
  std::ranges::sort(conditions, {}, [](const Condition& c) { return std::pair(c.sense, c.at_most); });
  std::optional<SeriesSet> found;
  for (const Condition& condition : conditions) {
    if (condition.at_most == 0) continue;
    if (Ended(patience)) return {};
    SeriesSet set = Evaluate(snapshot, condition, patience);
    if (!found && condition.sense == Sense::kOf) {
      found = std::move(set);
      if (base != nullptr) *found &= *base;
    } else {
      if (!found) found = base != nullptr ? *base : snapshot.All();
      condition.sense == Sense::kOf ? * found &= set : * found -= set;
    }
    if (found->empty()) return {};
  }
  if (!found) return base != nullptr ? *base : snapshot.All();
  return *std::move(found);
}

SeriesSet OfTenants(const Snapshot& snapshot, const std::vector<std::string>& tenants) {
  SeriesSet set;
  for (const std::string& tenant : tenants) set |= snapshot.OfTenant(tenant);
  return set;
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

// Reading a series costs about as much as asking whether one pair stands in a set, and a hundredth of what it costs to
// make the set of a label; so few series are read, whatever else there is.
constexpr uint64_t kFewSeries = 2048;

// What `pick` takes from the first series of a set, each once, in no order.
template <typename Pick>
std::vector<std::string_view> Collect(const Snapshot& snapshot, const SeriesSet& set, uint64_t at_most,
                                      const Patience* patience, Pick pick) {
  std::vector<std::string_view> found;
  std::unordered_set<const char*> met;  // a dictionary holds each string once: most repetitions end here
  auto add = [&](std::string_view text) {
    if (met.insert(text.data()).second) found.push_back(text);
  };
  catalog::SeriesView series;
  Watch watch(patience, Watch::Steps::kShort);
  set.ForEach([&](catalog::Ordinal ordinal) {
    if (at_most-- == 0 || watch.Ended()) return false;
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
                                         const Patience* patience) {
  return Collect(snapshot, set, set.size(), patience, [&](const catalog::SeriesView& series, auto& add) {
    const auto label = std::ranges::find(series.labels, name, &model::Label::name);
    if (label != series.labels.end()) add(label->value);
  });
}

}  // namespace

SeriesSet Select(const Snapshot& snapshot, const Scope& scope) {
  std::optional<SeriesSet> base;
  if (!scope.tenants.empty()) base = OfTenants(snapshot, scope.tenants);
  SeriesSet found;
  if (scope.selectors.empty()) {
    found = base ? *std::move(base) : snapshot.All();
  } else {
    for (const Selector& selector : scope.selectors)
      found |= Match(snapshot, selector, base ? &*base : nullptr, scope.patience);
  }
  if (Ended(scope.patience)) return {};
  return scope.range && !found.empty() ? snapshot.SeenIn(found, *scope.range) : found;
}

Strings LabelNames(const Snapshot& snapshot, const Scope& scope, size_t limit) {
  if (IsEverything(scope)) return SortAndCut(snapshot.LabelNames(), limit);
  const SeriesSet set = Select(snapshot, scope);
  std::vector<std::string_view> found =
      Collect(snapshot, set, kFewSeries, scope.patience, [](const auto& series, auto& add) {
        for (const model::Label& label : series.labels) add(label.name);
      });
  if (set.size() > kFewSeries) {
    // The names that the first series do not have.
    std::vector<std::string_view> others;
    std::ranges::set_difference(snapshot.LabelNames(), found, std::back_inserter(others));
    Watch watch(scope.patience, Watch::Steps::kLong);
    std::ranges::copy_if(others, std::back_inserter(found), [&](std::string_view name) {
      return !watch.Ended() && snapshot.WithLabel(name).Intersects(set);
    });
  }
  return SortAndCut(std::move(found), limit);
}

Strings LabelValues(const Snapshot& snapshot, std::string_view name, const Scope& scope, size_t limit) {
  std::optional<SeriesSet> set;
  if (!IsEverything(scope)) {
    set = Select(snapshot, scope);
    if (set->size() <= kFewSeries) return SortAndCut(ReadValues(snapshot, *set, name, scope.patience), limit);
  }
  std::vector<std::string_view> found;
  uint64_t values = 0;
  Watch watch(scope.patience, Watch::Steps::kShort);
  snapshot.ForEachValue(name, [&](std::string_view value, PairId pair) {
    if (watch.Ended()) return false;
    if (set && ++values >= set->size()) return false;  // reading the series is no dearer
    if (!set || snapshot.AnyWithPair(pair, *set)) found.push_back(value);
    return true;
  });
  if (set && values >= set->size()) found = ReadValues(snapshot, *set, name, scope.patience);
  return SortAndCut(std::move(found), limit);
}

}  // namespace mi::query
