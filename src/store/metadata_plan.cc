#include "store/metadata_plan.h"

#include <algorithm>

namespace mi::store {

std::optional<size_t> MergeMetadata(std::vector<StoredMetadata>& texts, const StoredMetadata& said) {
  const auto rank = [](const StoredMetadata& text) { return model::MetadataRank(text.last_seen_ms, text.metadata); };
  const auto same = std::ranges::find(texts, said.metadata, &StoredMetadata::metadata);
  if (same != texts.end()) {
    if (same->last_seen_ms >= said.last_seen_ms) return std::nullopt;
    same->last_seen_ms = said.last_seen_ms;
    return same - texts.begin();
  }
  if (texts.size() < kMostMetadataTexts) {
    texts.push_back(said);
    return texts.size() - 1;
  }
  const auto lowest = std::ranges::min_element(texts, {}, rank);
  if (rank(*lowest) >= rank(said)) return std::nullopt;
  *lowest = said;
  return lowest - texts.begin();
}

std::map<TenantFamily, std::vector<StoredMetadata>> PlanMetadata(std::span<const model::SeriesBatch> batches) {
  std::map<TenantFamily, std::vector<StoredMetadata>> planned;
  for (const model::SeriesBatch& batch : batches) {
    for (const model::MetricMetadata& metadata : batch.metadata()) {
      (void)MergeMetadata(planned[{batch.tenant().name(), metadata.family}],
                          {batch.tenant(), metadata, batch.seen_at_ms()});
    }
  }
  return planned;
}

}  // namespace mi::store
