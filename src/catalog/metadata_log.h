// What senders say about metric families: the latest word on each family of each tenant, as in the stores.
//
// Threads: one writer. Readers hold a View, which stays as it was: what a view shares the writer copies before it
// changes it, a few pointers, and a text goes with the last view that shows it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "catalog/id_table.h"
#include "store/ports.h"

namespace mi::catalog {

class MetadataLog {
 public:
  class View;

  // Passes over what is older than what it has. Of one moment the greatest type, help, unit stands: whoever replays
  // comes to the same.
  void Add(const store::StoredMetadata& said);

  // As it is now. For the writer to call.
  View Share();
  size_t bytes() const;

 private:
  static constexpr uint32_t kChunk = 64;
  using Entry = std::shared_ptr<const store::StoredMetadata>;  // shared with the views, as is what leads to it
  using Chunk = std::array<Entry, kChunk>;
  using Chunks = std::vector<std::shared_ptr<const Chunk>>;

  const store::StoredMetadata& At(uint32_t id) const { return *(*chunks_)[id / kChunk]->at(id % kChunk); }
  void Put(uint32_t id, const store::StoredMetadata& said);
  // Makes a chunk, or copies one that a view shares.
  Chunk& Own(uint32_t chunk);

  std::shared_ptr<Chunks> chunks_ = std::make_shared<Chunks>();
  bool is_shared_ = false;                     // by a view: chunks_, and every chunk that is not in owned_
  std::vector<std::shared_ptr<Chunk>> owned_;  // by number, where it was made since the last view
  std::vector<int64_t> last_seen_ms_;          // moves more often than the texts
  IdTable table_;
  size_t text_bytes_ = 0;
};

// Threads: safe.
class MetadataLog::View {
 public:
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const auto& chunk : *chunks_) {
      for (const Entry& entry : *chunk) {
        if (entry != nullptr) visit(*entry);
      }
    }
  }

 private:
  friend class MetadataLog;
  explicit View(std::shared_ptr<const Chunks> chunks) : chunks_(std::move(chunks)) {}

  std::shared_ptr<const Chunks> chunks_;
};

}  // namespace mi::catalog
