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

#include "base/fatal.h"
#include "base/result.h"
#include "model/stream_position.h"

namespace mi::store {

// The next offset of a partition, if it is among `positions`.
std::optional<int64_t> NextOffsetIn(std::span<const model::StreamPosition> positions, std::string_view stream,
                                    int32_t partition);

// Threads: confined to one thread.
class KnownPositions {
 public:
  // `database` names it in messages. `fatal` is called with each error.
  KnownPositions(std::string database, FatalHandler fatal) : database_(std::move(database)), fatal_(std::move(fatal)) {}

  // The store committed these positions.
  void NoteCommitted(std::span<const model::StreamPosition> positions);

  bool empty() const { return known_.empty(); }

  // kCorrupt if a position that is known is missing from `stored`, all rows of the database, or is behind.
  Status Check(std::span<const model::StreamPosition> stored) const;

  // Checks, and finds the position of a partition in `stored`, if it is there. From now on the store knows it.
  Result<std::optional<int64_t>> Read(std::span<const model::StreamPosition> stored, const std::string& stream,
                                      int32_t partition);

  // The next offset to write in place of `stored`, so that positions of other writers stand.
  int64_t Merge(const model::StreamPosition& position, std::optional<int64_t> stored) const;

  // Calls the fatal handler, and returns its error: "the database went back: <what> ...".
  std::unexpected<Error> WentBack(std::string_view what) const;

 private:
  using Partition = std::pair<std::string, int32_t>;
  const std::string database_;
  const FatalHandler fatal_;
  std::map<Partition, int64_t> known_;
};

}  // namespace mi::store
