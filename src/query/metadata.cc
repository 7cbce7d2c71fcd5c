#include "query/metadata.h"

#include <algorithm>
#include <iterator>

namespace mi::query {

MetadataByFamily Metadata(const catalog::Snapshot& snapshot, const MetadataQuestion& question) {
  MetadataByFamily found;
  snapshot.ForEachMetadata(question.tenants, [&](const store::StoredMetadata& stored) {
    const model::MetricMetadata& metadata = stored.metadata;
    if (!question.family.empty() && metadata.family != question.family) return true;
    std::vector<model::MetricMetadata>& entries = found[metadata.family];
    const bool room = !question.limit_per_family || entries.size() < *question.limit_per_family;
    if (room && std::ranges::find(entries, metadata) == entries.end()) entries.push_back(metadata);
    return true;
  });
  // By name, so that the same ones are left out each time.
  while (question.limit && found.size() > *question.limit) found.erase(std::prev(found.end()));
  return found;
}

}  // namespace mi::query
