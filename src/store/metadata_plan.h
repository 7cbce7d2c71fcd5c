// What is said about metric families: which statements are kept, and what one Apply call says.
//
// Targets may describe one family with different types, helps or units. Each of these texts is kept with the latest
// time at which it was said, but at most kMostMetadataTexts per family: then the ones with the greatest
// model::MetadataRank stay. So replays lead to the same texts in whatever order they come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "model/series_batch.h"
#include "store/ports.h"

namespace mi::store {

inline constexpr size_t kMostMetadataTexts = 10;

// Merges a statement into the texts of its family, which keep their places: a text that is new takes a free place, or
// that of the text with the lowest rank. Returns the place to write, or nothing if nothing changes. Does not look at
// tenants.
std::optional<size_t> MergeMetadata(std::vector<StoredMetadata>& texts, const StoredMetadata& said);

using TenantFamily = std::pair<std::string_view, std::string_view>;  // tenant, metric family

// What the call says, by family: at most kMostMetadataTexts different texts per family. The keys borrow the batches.
std::map<TenantFamily, std::vector<StoredMetadata>> PlanMetadata(std::span<const model::SeriesBatch> batches);

}  // namespace mi::store
