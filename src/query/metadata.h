// What senders say about their metrics (type, help, unit), by metric family.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "catalog/catalog.h"
#include "model/series_batch.h"
#include "query/bounds.h"

namespace mi::query {

struct MetadataQuestion {
  std::vector<std::string> tenants;        // empty: all tenants
  std::string family;                      // '': every family
  std::optional<size_t> limit;             // number of families; 0 means none at all, as in Prometheus
  std::optional<size_t> limit_per_family;  // number of entries that differ in type, help or unit
  Bounds* bounds = nullptr;                // null: the computation may cost anything
};

struct FoundMetadata {
  // Sorted by family; entries of one family differ. They point into the snapshot.
  std::vector<const model::MetricMetadata*> entries;
  bool cut = false;  // a limit left something out
};

// Merges the tenants: equal entries appear once. Copies no text. Gives up when the bounds are exceeded; what it returns
// then is not the answer.
FoundMetadata Metadata(const catalog::Snapshot& snapshot, const MetadataQuestion& question);

}  // namespace mi::query
