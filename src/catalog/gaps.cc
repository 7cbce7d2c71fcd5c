#include "catalog/gaps.h"

#include <algorithm>

namespace mi::catalog {

void Gaps::Add(std::span<const IdRange> skipped, Time now) {
  for (const IdRange& range : skipped) {
    const uint64_t newest = range.last - std::min<uint64_t>(range.last - range.first, most_ - 1);
    for (uint64_t id = newest; id <= range.last; ++id) ids_.emplace(id, now);
  }
  while (ids_.size() > most_) ids_.erase(ids_.begin());
}

void Gaps::Found(std::span<const uint64_t> ids) {
  for (const uint64_t id : ids) ids_.erase(id);
}

void Gaps::DropOlderThan(Time time) {
  std::erase_if(ids_, [&](const auto& gap) { return gap.second < time; });
}

std::vector<uint64_t> Gaps::Ids() const {
  std::vector<uint64_t> ids;
  ids.reserve(ids_.size());
  for (const auto& [id, noticed] : ids_) ids.push_back(id);
  return ids;
}

}  // namespace mi::catalog
