// The strings of a 2.0 request. Internal to this room.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/restart.h"
#include "model/labels.h"
#include "model/local_hash.h"

namespace mi::codec {

// Threads: confined to one. Ownership: borrows the request.
class SymbolTable {
 public:
  void Clear() {
    Restart(texts_);
    Restart(parts_);
    Restart(told_);
  }
  void Add(std::string_view text) { texts_.push_back(text); }
  // Hashes each symbol once. Call it when all were added.
  void Hash(const model::LocalHasher& hasher) { hasher.OfParts(texts_, parts_); }

  uint32_t size() const { return static_cast<uint32_t>(texts_.size()); }
  bool empty() const { return texts_.empty(); }
  std::string_view text(uint32_t i) const { return texts_[i]; }
  bool IsMetricName(uint32_t i) const { return texts_[i] == model::kMetricName; }
  std::span<const model::LocalHasher::Part> parts() const { return parts_; }

  // Remembers the last metadata of each metric name. Returns false if it was `metadata` already. Neighbouring series
  // mostly belong to one family, but a sender may also go from target to target. Requires: name < size(), and metadata
  // is not 0.
  bool Tell(uint32_t name, uint64_t metadata) {
    if (told_.empty()) told_.resize(texts_.size());
    return std::exchange(told_[name], metadata) != metadata;
  }

 private:
  std::vector<std::string_view> texts_;
  std::vector<model::LocalHasher::Part> parts_;  // the hash of each
  std::vector<uint64_t> told_;                   // of each, if series have metadata
};

}  // namespace mi::codec
