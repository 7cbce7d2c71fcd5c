#include "catalog/gaps.h"

#include <algorithm>
#include <cassert>

namespace mi::catalog {

void Gaps::Add(std::span<const store::IdRange> skipped, Time now) {
  assert(std::ranges::is_sorted(skipped, {}, &store::IdRange::first));
  assert(skipped.empty() || ranges_.empty() || ranges_.rbegin()->second.last < skipped.front().first);
  for (const store::IdRange& range : skipped) ranges_.emplace_hint(ranges_.end(), range.first, Rest{range.last, now});
  ForgetLowest();
}

void Gaps::Found(std::span<const store::IdRange> runs) {
  for (const store::IdRange& run : runs) Remove(run);
  ForgetLowest();
}

// Cuts a run out of every range that it touches:
//
//   ranges     [10 ........ 20]      [30 .. 35]
//   run              [14 ................ 32]
//   rest       [10 13]                  [33 35]      each part keeps the time of its range
//
// The search begins one range before the run's first id, because that range may reach into the run. Costs O(log n) and
// the ranges that are touched. A run inside a range makes one range of it two; ForgetLowest keeps the bound.
void Gaps::Remove(const store::IdRange& run) {
  auto at = ranges_.upper_bound(run.first);
  if (at != ranges_.begin()) --at;
  while (at != ranges_.end() && at->first <= run.last) {
    const auto [first, rest] = *at;
    if (rest.last < run.first) {
      ++at;
      continue;
    }
    at = ranges_.erase(at);
    if (first < run.first) ranges_.emplace_hint(at, first, Rest{run.first - 1, rest.added});
    if (rest.last > run.last) ranges_.emplace_hint(at, run.last + 1, rest);
  }
}

void Gaps::ForgetLowest() {
  while (ranges_.size() > max_ranges_) ranges_.erase(ranges_.begin());
}

void Gaps::DropOlderThan(Time time) {
  std::erase_if(ranges_, [&](const auto& range) { return range.second.added < time; });
}

std::vector<store::IdRange> Gaps::Ranges() const {
  std::vector<store::IdRange> ranges;
  ranges.reserve(ranges_.size());
  for (const auto& [first, rest] : ranges_) ranges.push_back({first, rest.last});
  return ranges;
}

}  // namespace mi::catalog
