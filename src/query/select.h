// The questions that selectors ask of a catalogue: which series, which label names, which values. All answers are
// exact.
//
// Threads: safe, everything is const. Cost: a regular expression runs once over the values of its label, never over
// series; everything else is arithmetic on compressed sets.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/catalog.h"
#include "model/time_range.h"
#include "query/patience.h"
#include "query/selector.h"

namespace mi::query {

// Whom a question is about.
struct Scope {
  std::vector<Selector> selectors;        // series that match any of them; none: every series
  std::vector<std::string> tenants;       // of any of them ('' is the default tenant); none: of all
  std::optional<model::TimeRange> range;  // that existed in it; none: that ever existed
  const Patience* patience = nullptr;     // none: it may take as long as it takes
};

// All of these give up when the scope's patience ends: what they give then is not the answer, and the caller must look.
catalog::SeriesSet Select(const catalog::Snapshot& snapshot, const Scope& scope);

// Names or values, sorted by bytes and then cut. Views point into the snapshot.
struct Strings {
  std::vector<std::string_view> items;
  bool cut = false;  // there were more than the limit
};

inline constexpr size_t kNoLimit = 0;

Strings LabelNames(const catalog::Snapshot& snapshot, const Scope& scope, size_t limit = kNoLimit);
Strings LabelValues(const catalog::Snapshot& snapshot, std::string_view name, const Scope& scope,
                    size_t limit = kNoLimit);

}  // namespace mi::query
