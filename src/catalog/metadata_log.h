// What senders say about metric families, each thing once.
//
// Threads: one writer; readers may index what was published to them. Entries never change and never go.
#pragma once

#include <cstdint>

#include "catalog/id_table.h"
#include "catalog/stable_array.h"
#include "store/ports.h"

namespace mi::catalog {

class MetadataLog {
 public:
  // Passes over what it has already: senders repeat themselves every minute.
  void Add(const model::Tenant& tenant, const model::MetricMetadata& metadata);

  uint32_t size() const { return static_cast<uint32_t>(entries_.size()); }
  const store::StoredMetadata& operator[](uint32_t i) const { return entries_[i]; }
  size_t bytes() const { return entries_.bytes() + table_.bytes() + text_bytes_; }

 private:
  StableArray<store::StoredMetadata, 64> entries_;
  IdTable table_;
  size_t text_bytes_ = 0;  // outside the entries
};

}  // namespace mi::catalog
