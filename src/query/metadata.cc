#include "query/metadata.h"

#include <set>
#include <string_view>
#include <tuple>

namespace mi::query {

// The snapshot visits one family after another, in order, so the walk ends at the first family beyond the limit.
// Senders choose how many entries a family has, so a set recognises the repeated ones: n entries cost n log n.
FoundMetadata Metadata(const catalog::Snapshot& snapshot, const MetadataQuestion& question) {
  constexpr uint64_t kBytesPerEntry = 80;  // in both containers
  FoundMetadata found;
  std::set<std::tuple<std::string_view, std::string_view, std::string_view>> known;  // of the present family
  std::string_view family;
  size_t families = 0;
  snapshot.ForEachMetadata(question.tenants, [&](const store::StoredMetadata& stored) {
    const model::MetricMetadata& metadata = stored.metadata;
    if (Exceeded(question.bounds)) return false;
    if (!question.family.empty() && metadata.family != question.family) return true;
    if (families == 0 || metadata.family != family) {
      if (question.limit && families == *question.limit) {
        found.cut = true;
        return false;
      }
      ++families;
      family = metadata.family;
      known.clear();
    }
    if (known.contains({metadata.type, metadata.help, metadata.unit})) return true;
    if (question.limit_per_family && known.size() == *question.limit_per_family) {
      found.cut = true;
      return true;
    }
    known.emplace(metadata.type, metadata.help, metadata.unit);
    found.entries.push_back(&metadata);
    return Hold(question.bounds, kBytesPerEntry);
  });
  return found;
}

}  // namespace mi::query
