#include "store/known_positions.h"

#include <algorithm>

#include "base/format.h"

// A store knows, per partition, the position that it read or wrote last. Within a transaction it compares that with the
// stored one:
//
//   stored < known    The database went back: what is between has to be read again, and ids that were given since then
//                     are void. Only a restart repairs this.
//   stored == known   The usual case. The new position is written, even if it is smaller: a topic that was made anew
//                     begins at 0 again.
//   stored > known    Another worker has had the partition meanwhile, and this one still finishes its last batch. The
//                     greater position stands. Otherwise the other worker would find that the database went back.
//
// Every known position is compared, not only those that are written: the ids of dictionary rows in a store's memory may
// come from a batch of any partition.
namespace mi::store {

std::optional<int64_t> NextOffsetIn(std::span<const model::StreamPosition> positions, std::string_view stream,
                                    int32_t partition) {
  for (const model::StreamPosition& position : positions) {
    if (position.partition == partition && position.stream == stream) return position.next_offset;
  }
  return std::nullopt;
}

void KnownPositions::NoteCommitted(std::span<const model::StreamPosition> positions) {
  for (const model::StreamPosition& position : positions) {
    known_[{position.stream, position.partition}] = position.next_offset;
  }
}

Status KnownPositions::Check(std::span<const model::StreamPosition> stored) const {
  for (const auto& [partition, known] : known_) {
    const std::optional<int64_t> now = NextOffsetIn(stored, partition.first, partition.second);
    if (now && *now >= known) continue;
    return WentBack(format("the position of {}, partition {}, was {} and is {}", partition.first, partition.second,
                           known, now ? format("{}", *now) : "missing"));
  }
  return {};
}

Result<std::optional<int64_t>> KnownPositions::Read(std::span<const model::StreamPosition> stored,
                                                    const std::string& stream, int32_t partition) {
  TRY(Check(stored));
  const std::optional<int64_t> next_offset = NextOffsetIn(stored, stream, partition);
  if (next_offset) known_[{stream, partition}] = *next_offset;
  return next_offset;
}

std::unexpected<Error> KnownPositions::WentBack(std::string_view what) const {
  const Error error(Errc::kCorrupt, format("{}: the database went back: {}. A backup was restored, or a failover lost "
                                           "transactions; a restart reads again from the stored positions",
                                           database_, what));
  fatal_(error);
  return Fail(error);
}

int64_t KnownPositions::Merge(const model::StreamPosition& position, std::optional<int64_t> stored) const {
  const auto known = known_.find({position.stream, position.partition});
  const bool another_writer = known != known_.end() && stored && *stored > known->second;
  return another_writer ? std::max(*stored, position.next_offset) : position.next_offset;
}

}  // namespace mi::store
