// The metadata of metric families: for each family of each tenant the latest, by the same rule as in the stores
// (model::MetadataRank).
//
// Threads: one writer. Readers hold a View, which never changes (copy on write):
//   View ──> chunks ──> chunk of 64 pointers ──> StoredMetadata
// Before the writer changes a chunk that a view shares, it copies the chunk's pointers. A text is freed with the last
// view that has it.
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

  // Ignores metadata of a lower rank than what it has.
  void Add(const store::StoredMetadata& said);

  // The metadata as they are now. For the writer.
  View Share();
  size_t bytes() const;

 private:
  static constexpr uint32_t kChunk = 64;
  using Entry = std::shared_ptr<const store::StoredMetadata>;  // shared with the views, as are Chunk and Chunks
  using Chunk = std::array<Entry, kChunk>;
  using Chunks = std::vector<std::shared_ptr<const Chunk>>;

  const store::StoredMetadata& At(uint32_t id) const { return *(*chunks_)[id / kChunk]->at(id % kChunk); }
  void Put(uint32_t id, const store::StoredMetadata& said);
  // The chunk, to be changed: makes it if it is new, copies it if a view shares it.
  Chunk& Own(uint32_t chunk);

  std::shared_ptr<Chunks> chunks_ = std::make_shared<Chunks>();
  bool is_shared_ = false;                     // a view shares chunks_ and every chunk that is not in owned_
  std::vector<std::shared_ptr<Chunk>> owned_;  // by number: the chunks that were made since the last view
  std::vector<int64_t> last_seen_ms_;          // kept apart, since it changes more often than the texts
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
