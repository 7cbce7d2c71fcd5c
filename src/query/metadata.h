// What senders say about their metrics (type, help, unit), by metric family.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "catalog/catalog.h"
#include "model/series_batch.h"

namespace mi::query {

struct MetadataQuestion {
  std::vector<std::string> tenants;        // empty: all tenants
  std::string family;                      // '': every family
  std::optional<size_t> limit;             // number of families; 0 means none at all, as in Prometheus
  std::optional<size_t> limit_per_family;  // number of entries that differ in type, help or unit
};

struct FoundMetadata {
  std::map<std::string, std::vector<model::MetricMetadata>> families;
  bool cut = false;  // a limit left something out
};

// Merges the tenants: equal entries appear once.
FoundMetadata Metadata(const catalog::Snapshot& snapshot, const MetadataQuestion& question);

}  // namespace mi::query
