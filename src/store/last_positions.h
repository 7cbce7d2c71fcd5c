// Where a store last saw each stream's position in its database. A database that is behind what it once had went back:
// a backup was restored, or a failover lost transactions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"
#include "store/ports.h"

namespace mi::store {

// Threads: compatible.
class LastPositions {
 public:
  // As it was read; nothing: the database has none.
  void Read(const std::string& stream, int32_t partition, std::optional<int64_t> next_offset);
  void Committed(std::span<const StreamPosition> positions);

  bool Knows(const StreamPosition& of) const { return last_.contains({of.stream, of.partition}); }
  // kOutdated when `stored`, what the database has now in the place of `of`, is behind what it had.
  Status Check(const StreamPosition& of, std::optional<int64_t> stored) const;

 private:
  std::map<std::pair<std::string, int32_t>, int64_t> last_;
};

}  // namespace mi::store
