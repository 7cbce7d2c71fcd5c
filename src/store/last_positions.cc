#include "store/last_positions.h"

#include "base/format.h"

namespace mi::store {

void LastPositions::Read(const std::string& stream, int32_t partition, std::optional<int64_t> next_offset) {
  if (next_offset) {
    last_[{stream, partition}] = *next_offset;
  } else {
    last_.erase({stream, partition});
  }
}

void LastPositions::Committed(std::span<const StreamPosition> positions) {
  for (const StreamPosition& position : positions) last_[{position.stream, position.partition}] = position.next_offset;
}

Status LastPositions::Check(const StreamPosition& of, std::optional<int64_t> stored) const {
  const auto last = last_.find({of.stream, of.partition});
  // Ahead: another worker had the partition meanwhile, and what comes again does no harm.
  if (last == last_.end() || stored.value_or(-1) >= last->second) return {};
  return Fail(
      Errc::kOutdated,
      format("the database is behind: {}, partition {} was at {} and is at {} (-1: nowhere), as after a restored "
             "backup or a failover; what is between is read again",
             of.stream, of.partition, last->second, stored.value_or(-1)));
}

}  // namespace mi::store
