// The questions that selectors ask of a catalogue: which series, which label names, which values. All answers are
// exact.
//
// Threads: safe, everything is const. Cost: a regular expression runs once over the values of its label, never over
// series. Everything else is arithmetic on compressed sets.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/catalog.h"
#include "model/time_range.h"
#include "query/bounds.h"
#include "query/selector.h"

namespace mi::query {

// The series that a question is about.
struct Scope {
  std::vector<Selector> selectors;        // series that match any of them; empty: every series
  std::vector<std::string> tenants;       // of any of them ('' is the default tenant); empty: of all tenants
  std::optional<model::TimeRange> range;  // that existed in it; none: that ever existed; end before start: nothing
  Bounds* bounds = nullptr;               // null: the computation may cost anything
};

// All of these give up when the bounds are exceeded. What they return then is not the answer; the caller must check the
// bounds afterwards. The lists that they make are held against the bounds; sets of series are not (a bit per series).
catalog::SeriesSet Select(const catalog::Snapshot& snapshot, const Scope& scope);

// The first names or values in the order of bytes, up to the limit. A limit also bounds the memory that they need.
// Views point into the snapshot.
struct Strings {
  std::vector<std::string_view> items;
  bool cut = false;  // there were more than the limit
};

inline constexpr size_t kNoLimit = 0;

Strings LabelNames(const catalog::Snapshot& snapshot, const Scope& scope, size_t limit = kNoLimit);
Strings LabelValues(const catalog::Snapshot& snapshot, std::string_view name, const Scope& scope,
                    size_t limit = kNoLimit);

}  // namespace mi::query
