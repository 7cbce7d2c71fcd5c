// What of one request is not durable yet, on its way to the stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "model/series_batch.h"

namespace mi::receive {

struct Arrivals {
  // Local names of series of the batch, to be remembered once those are durable.
  struct Alias {
    model::Fingerprint alias;
    size_t index;  // into the batch
  };

  // What a series brings along; counted as written only where the series is durable.
  struct Items {
    uint64_t samples = 0;
    uint64_t histograms = 0;
    uint64_t exemplars = 0;
  };

  std::shared_ptr<model::SeriesBatch> batch;      // series and metadata; null when all is durable
  std::vector<model::Fingerprint> fingerprints;   // of the batch's series, in order
  std::vector<Items> items;                       // of the same series; none where nobody counts them
  std::vector<Alias> aliases;                     // ascending by index
  std::vector<model::Fingerprint> metadata_keys;  // of the batch's metadata, in order

  bool empty() const { return batch == nullptr || batch->empty(); }
};

}  // namespace mi::receive
