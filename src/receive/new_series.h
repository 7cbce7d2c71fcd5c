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
  Items& operator-=(const Items& other) {
    samples -= other.samples;
    histograms -= other.histograms;
    exemplars -= other.exemplars;
    return *this;
  }
};

struct NewSeries {
  std::shared_ptr<model::SeriesBatch> batch;      // series and metadata; null if there is nothing
  std::vector<model::Fingerprint> fingerprints;   // of the batch's series, in order
  std::vector<Items> items;                       // of each series; counted as written only if the series is durable
  std::vector<model::Fingerprint> metadata_keys;  // of the batch's metadata, in order

  static constexpr uint64_t kBytesPerEntry = 256;

  bool empty() const { return batch == nullptr || batch->empty(); }

  static uint64_t MemoryOf(const model::MetricMetadata& one) {
    return one.family.size() + one.help.size() + one.unit.size() + kBytesPerEntry;
  }

  // About what it takes until it is durable, with its copy for the stream and its claims. Requires: batch != nullptr.
  uint64_t memory_bytes() const {
    uint64_t metadata = 0;
    for (const model::MetricMetadata& one : batch->metadata()) metadata += MemoryOf(one);
    return 2 * batch->byte_size() + fingerprints.size() * kBytesPerEntry + metadata;
  }

  // Makes room for `series` more series, which have `bytes` bytes of labels in all. Requires: batch != nullptr.
  void Reserve(size_t series, size_t bytes) {
    batch->Reserve(series, bytes);
    fingerprints.reserve(fingerprints.size() + series);
    items.reserve(items.size() + series);
  }
  // Requires: batch != nullptr.
  void Add(const model::Fingerprint& fingerprint, std::string_view canonical, const Items& its_items = {}) {
    assert(batch != nullptr);
    batch->Add(fingerprint, canonical);
    fingerprints.push_back(fingerprint);
    items.push_back(its_items);
  }
};

}  // namespace mi::receive
