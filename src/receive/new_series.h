// The part of a request that is not durable yet.
#pragma once

#include <cassert>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "model/series_batch.h"

namespace mi::receive {

// The items of series.
struct Items {
  uint64_t samples = 0;
  uint64_t histograms = 0;
  uint64_t exemplars = 0;

  Items& operator+=(const Items& other) {
    samples += other.samples;
    histograms += other.histograms;
    exemplars += other.exemplars;
    return *this;
  }
};

struct NewSeries {
  std::shared_ptr<model::SeriesBatch> batch;      // series and metadata; null if there is nothing
  std::vector<model::Fingerprint> fingerprints;   // of the batch's series, in order
  std::vector<model::Fingerprint> aliases;        // the alias of each series (seen_set.h); all zero if it has none
  std::vector<Items> items;                       // of each series; counted as written only if the series is durable
  std::vector<model::Fingerprint> metadata_keys;  // of the batch's metadata, in order

  bool empty() const { return batch == nullptr || batch->empty(); }

  // Requires: batch != nullptr.
  void Add(const model::Fingerprint& fingerprint, std::string_view canonical, const model::Fingerprint& alias = {},
           const Items& its_items = {}) {
    assert(batch != nullptr);
    batch->Add(fingerprint, canonical);
    fingerprints.push_back(fingerprint);
    aliases.push_back(alias);
    items.push_back(its_items);
  }
};

}  // namespace mi::receive
