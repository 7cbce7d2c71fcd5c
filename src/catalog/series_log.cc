#include "catalog/series_log.h"

#include <algorithm>
#include <cassert>
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

// Room for a jump is left behind every record, so that the next one can always be reached.
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

void SeriesLog::Append(uint64_t id, std::span<const PairId> pairs, SeenTimes times) {
  assert(!pairs.empty() && (size_ == 0 || id > highest_id_));
  body_.resize(pairs.size() * kMaxVarint);
  uint8_t* body_end = body_.data();
  PairId before = 0;
  for (const PairId pair : pairs) {
    body_end = PutVarint(pair - before, body_end);
    before = pair;
  }
  const auto body_size = static_cast<size_t>(body_end - body_.data());

  const bool begins_block = size_ % kBlock == 0;
  const uint64_t step = begins_block ? 1 : id - highest_id_;
  uint8_t head[2 * kMaxVarint];
  uint8_t* head_end = PutVarint(uint64_t{body_size} << 1 | (step != 1 ? 1 : 0), head);
  if (step != 1) head_end = PutVarint(step, head_end);
  const auto head_size = static_cast<size_t>(head_end - head);

  uint8_t* at = Place(head_size + body_size, begins_block);
  std::memcpy(at, head, head_size);
  std::memcpy(at + head_size, body_.data(), body_size);
  if (begins_block) blocks_.Append() = {at, id};
  times_.Append();
  SetTimes(size_, times);
  highest_id_ = id;
  ++size_;
}

std::optional<Ordinal> SeriesLog::Find(uint64_t id, uint32_t size) const {
  if (size == 0 || id < blocks_[0].first_id) return std::nullopt;
  // The last block that begins at or below the id: in [low, high).
  uint32_t low = 0;
  uint32_t high = (size - 1) / kBlock + 1;
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    (blocks_[middle].first_id <= id ? low : high) = middle;
  }
  const uint32_t begin = low * kBlock;
  const uint32_t end = std::min(size, begin + kBlock);
  uint64_t at = blocks_[low].first_id;
  Record record = RecordAt(blocks_[low].at);
  for (uint32_t ordinal = begin;; at += record.id_step) {
    if (at == id) return ordinal;
    if (at > id || ++ordinal == end) return std::nullopt;
    record = RecordAt(record.end);
  }
}

}  // namespace mi::catalog
