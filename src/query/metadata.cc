#include "query/metadata.h"

#include <iterator>
#include <set>
#include <string_view>
#include <tuple>

namespace mi::query {

// Senders choose how many entries a family has, so a set recognises the repeated ones: n entries cost n log n. Its keys
// point into the snapshot. Families are kept by name, so a limit leaves out the same ones each time.
FoundMetadata Metadata(const catalog::Snapshot& snapshot, const MetadataQuestion& question) {
  using Content = std::tuple<std::string_view, std::string_view, std::string_view>;
  std::map<std::string_view, std::set<Content>> known;
  FoundMetadata found;
  snapshot.ForEachMetadata(question.tenants, [&](const store::StoredMetadata& stored) {
    const model::MetricMetadata& metadata = stored.metadata;
    if (!question.family.empty() && metadata.family != question.family) return true;
    if (!known[metadata.family].emplace(metadata.type, metadata.help, metadata.unit).second) return true;
    std::vector<model::MetricMetadata>& entries = found.families[metadata.family];
    if (question.limit_per_family && entries.size() >= *question.limit_per_family) {
      found.cut = true;
    } else {
      entries.push_back(metadata);
    }
    return true;
  });
  while (question.limit && found.families.size() > *question.limit) {
    found.families.erase(std::prev(found.families.end()));
    found.cut = true;
  }
  return found;
}

}  // namespace mi::query
