// What senders say about their metrics, by metric family.
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
  std::vector<std::string> tenants;        // none: of all
  std::string family;                      // '': of every family
  std::optional<size_t> limit;             // families; 0 is none at all, as for Prometheus
  std::optional<size_t> limit_per_family;  // entries that differ in type, help or unit
};

using MetadataByFamily = std::map<std::string, std::vector<model::MetricMetadata>, std::less<>>;

struct FoundMetadata {
  MetadataByFamily families;
  bool cut = false;  // there was more than a limit
};

// What tenants say alike comes once.
FoundMetadata Metadata(const catalog::Snapshot& snapshot, const MetadataQuestion& question);

}  // namespace mi::query
