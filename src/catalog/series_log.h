// Every series in the order of its id: the id, the pairs it is made of, when it was seen. About 30 bytes a series.
//
// A record is its pair ids, ascending, as deltas in varints. Records stand in blocks of 16; a block knows where it
// begins and its first id, everything else is found by walking at most 15 records. Times are whole seconds: first_seen
// rounded down, last_seen up, so that a series is never missed, and at most taken for a second longer than it was.
//
// Threads: one writer. Readers may ask for ordinals below the size that was published to them. Times are the exception
// to "what is published stays": they move in place, and a reader sees the newest.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "catalog/byte_arena.h"
#include "catalog/catalog.h"
#include "catalog/stable_array.h"
#include "catalog/varint.h"

namespace mi::catalog {

// Seconds since the epoch.
struct SeenTimes {
  uint32_t first = 0;
  uint32_t last = 0;

  // Down for first, up for last; what does not fit 1970 to 2106 becomes the nearest that does.
  static SeenTimes FromMs(int64_t first_seen_ms, int64_t last_seen_ms);
};

class SeriesLog {
 public:
  // Requires: id above every id before, pairs ascending and not empty.
  void Append(uint64_t id, std::span<const PairId> pairs, SeenTimes times);
  void SetTimes(Ordinal ordinal, SeenTimes times) {
    times_[ordinal].store(uint64_t{times.first} << 32 | times.last, std::memory_order_relaxed);
  }
  uint32_t size() const { return size_; }
  uint64_t highest_id() const { return highest_id_; }
  size_t bytes() const { return records_.bytes() + blocks_.bytes() + times_.bytes(); }

  SeenTimes Times(Ordinal ordinal) const {
    const uint64_t packed = times_[ordinal].load(std::memory_order_relaxed);
    return {static_cast<uint32_t>(packed >> 32), static_cast<uint32_t>(packed)};
  }

  // Calls visit(PairId) for each pair, ascending, and gives the id.
  template <typename Visit>
  uint64_t Read(Ordinal ordinal, Visit visit) const {
    const Block& block = blocks_[ordinal / kBlock];
    uint64_t id = block.first_id;
    Record record = RecordAt(block.at);
    for (uint32_t left = ordinal % kBlock; left > 0; --left) {
      record = RecordAt(record.end);
      id += record.id_step;
    }
    uint64_t pair = 0;
    for (const uint8_t* at = record.body; at != record.end;) {
      uint64_t delta = 0;
      at = GetVarint(at, delta);
      pair += delta;
      visit(static_cast<PairId>(pair));
    }
    return id;
  }

  // Looks at the first `size` series; nothing when none of them has the id.
  std::optional<Ordinal> Find(uint64_t id, uint32_t size) const;

 private:
  static constexpr uint32_t kBlock = 16;
  // A record that does not fit behind the one before it: a zero and the address where it stands instead.
  static constexpr size_t kJump = 1 + sizeof(const uint8_t*);

  struct Block {
    const uint8_t* at;
    uint64_t first_id;
  };
  struct Record {
    const uint8_t* body;
    const uint8_t* end;
    uint64_t id_step;  // from the id of the record before it
  };

  static Record RecordAt(const uint8_t* at);
  uint8_t* Place(size_t size, bool begins_block);

  ByteArena records_;
  StableArray<Block> blocks_;
  StableArray<std::atomic<uint64_t>> times_;
  std::vector<uint8_t> body_;  // reused
  uint32_t size_ = 0;
  uint64_t highest_id_ = 0;
};

// The head is (bytes of the body << 1 | id_step != 1), then the step when it is not 1.
inline SeriesLog::Record SeriesLog::RecordAt(const uint8_t* at) {
  if (*at == 0) std::memcpy(&at, at + 1, sizeof(at));
  uint64_t head = 0;
  at = GetVarint(at, head);
  uint64_t step = 1;
  if ((head & 1) != 0) at = GetVarint(at, step);
  return {at, at + (head >> 1), step};
}

}  // namespace mi::catalog
