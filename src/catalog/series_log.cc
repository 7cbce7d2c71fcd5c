#include "catalog/series_log.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <limits>

namespace mi::catalog {
namespace {

uint32_t ClampSeconds(int64_t seconds) {
  return static_cast<uint32_t>(std::clamp<int64_t>(seconds, 0, std::numeric_limits<uint32_t>::max()));
}

}  // namespace

SeenTimes SeenTimes::FromMs(int64_t first_seen_ms, int64_t last_seen_ms) {
  const int64_t last = last_seen_ms / 1000 + (last_seen_ms > 0 && last_seen_ms % 1000 != 0 ? 1 : 0);
  return {ClampSeconds(first_seen_ms / 1000), ClampSeconds(last)};
}

// Room for a jump stays behind every record, so that the next record can always be reached from it. The first record of
// a block needs none: the block has its address.
uint8_t* SeriesLog::Place(size_t size, bool begins_block) {
  if (records_.left() >= size + kJump) return records_.Allocate(size);
  uint8_t* jump = begins_block ? nullptr : records_.cursor();
  uint8_t* at = records_.AllocateInNewChunk(size, kJump);
  if (jump != nullptr) {
    *jump = 0;
    std::memcpy(jump + 1, &at, sizeof(at));
  }
  return at;
}

// A record keeps its id as the step from the highest id before it, and its pairs as gaps. Most ids follow each other,
// so most steps are 1 and take no byte. Example with the ids 7, 8, 12, 10:
//
//   block: highest_before 6 | step 1 | step 1 | step 4 | step -2 (late: the highest stays 12) | ...
//
// A record is complete before size_ grows, and a reader learns of size_ only with a snapshot. So a reader never reads a
// record, or the jump behind it, while it is written. An append costs the same whatever the size of the log; only a
// late id costs a look-up in the map.
void SeriesLog::Append(uint64_t id, std::span<const PairId> pairs, SeenTimes times) {
  assert(id > 0 && !Find(id) && !pairs.empty() && std::ranges::is_sorted(pairs));
  body_.resize(pairs.size() * kMaxVarint);
  uint8_t* body_end = body_.data();
  PairId before = 0;
  for (const PairId pair : pairs) {
    body_end = PutVarint(pair - before, body_end);
    before = pair;
  }
  const auto body_size = static_cast<size_t>(body_end - body_.data());

  const bool begins_block = size_ % kBlock == 0;
  const auto step = static_cast<int64_t>(id - highest_id_);
  const uint64_t zigzag = static_cast<uint64_t>(step) << 1 ^ static_cast<uint64_t>(step >> 63);
  uint8_t head[2 * kMaxVarint];
  uint8_t* head_end = PutVarint(uint64_t{body_size} << 1 | (step != 1 ? 1 : 0), head);
  if (step != 1) head_end = PutVarint(zigzag, head_end);
  const auto head_size = static_cast<size_t>(head_end - head);

  uint8_t* at = Place(head_size + body_size, begins_block);
  std::memcpy(at, head, head_size);
  std::memcpy(at + head_size, body_.data(), body_size);
  if (begins_block) blocks_.Append() = {at, highest_id_};
  times_.Append();
  SetTimes(size_, times);
  if (id < highest_id_) NoteLate(id, size_);
  highest_id_ = std::max(highest_id_, id);
  ++size_;
}

// Extends a run if both the id and the ordinal continue it. A transaction that commits late brings consecutive ids, so
// there is about one run per such transaction. At worst there is one run (64 bytes) per late series.
void SeriesLog::NoteLate(uint64_t id, Ordinal ordinal) {
  const auto above = late_.upper_bound(id);
  if (above != late_.begin()) {
    auto& [first_id, run] = *std::prev(above);
    if (first_id + run.count == id && run.first + run.count == ordinal) {
      ++run.count;
      return;
    }
  }
  late_.emplace_hint(above, id, LateRun{1, ordinal});
}

// Late ids are in the map. Every other id is above all ids before it, so among those ids and ordinals ascend together,
// and highest_before never falls from block to block. Late records lie in between, but do not change `highest`; that is
// why the walk can stop as soon as `highest` passes the id. Costs O(log runs + log blocks) and at most 16 records.
std::optional<Ordinal> SeriesLog::Find(uint64_t id) const {
  if (id == 0 || id > highest_id_) return std::nullopt;
  if (const auto above = late_.upper_bound(id); above != late_.begin()) {
    const auto& [first_id, run] = *std::prev(above);
    if (id - first_id < run.count) return run.first + static_cast<Ordinal>(id - first_id);
  }
  // Binary search in [low, high) for the last block with highest_before < id.
  uint32_t low = 0;
  uint32_t high = (size_ - 1) / kBlock + 1;
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    (blocks_[middle].highest_before < id ? low : high) = middle;
  }
  const uint32_t end = std::min(size_, (low + 1) * kBlock);
  uint64_t highest = blocks_[low].highest_before;
  const uint8_t* at = blocks_[low].at;
  for (uint32_t ordinal = low * kBlock; ordinal < end; ++ordinal) {
    const Record record = RecordAt(at);
    highest = std::max(highest, highest + record.id_step);
    if (highest == id) return ordinal;
    if (highest > id) return std::nullopt;
    at = record.end;
  }
  return std::nullopt;
}

}  // namespace mi::catalog
