// What a store knows of the stream positions in its database, to detect that the database went back: a backup was
// restored, or a failover lost transactions. Both stores use it in the transaction that writes positions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "model/stream_position.h"

namespace mi::store {

// The next offset of a partition, if it is among `positions`.
std::optional<int64_t> NextOffsetIn(std::span<const model::StreamPosition> positions, std::string_view stream,
                                    int32_t partition);

// Threads: confined to one thread.
class KnownPositions {
 public:
  // The store read this position, or nothing.
  void NoteRead(const std::string& stream, int32_t partition, std::optional<int64_t> next_offset);
  // The store committed these positions.
  void NoteCommitted(std::span<const model::StreamPosition> positions);

  bool empty() const { return known_.empty(); }

  // kCorrupt if a position that is known is missing from `stored`, all rows of the database, or is behind.
  Status Check(std::span<const model::StreamPosition> stored) const;

  // The next offset to write in place of `stored`, so that positions of other writers stand.
  int64_t Merge(const model::StreamPosition& position, std::optional<int64_t> stored) const;

 private:
  using Partition = std::pair<std::string, int32_t>;
  std::map<Partition, int64_t> known_;
};

}  // namespace mi::store
