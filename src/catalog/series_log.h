// Every series in the order in which it came: the id, the pairs it is made of, when it was seen. About 30 bytes a
// series.
//
// Ids ascend, but for those of transactions that were committed late (store/ports.h). These come in runs, since a
// transaction takes its ids in a block, and are found by a map of the runs. A record is its pair ids, ascending, as
// deltas in varints. Records stand in blocks of 16; a block knows where it begins and the highest id before it,
// everything else is found by walking at most 15 records. Times are whole seconds: first_seen rounded down, last_seen
// up, so that a series is never missed, and at most taken for a second longer than it was.
//
// Threads: one writer. Readers may ask for ordinals below the size that was published to them. Times are the exception
// to "what is published stays": they move in place, and a reader sees the newest.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
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
  // Requires: no series has the id, which is above 0; pairs ascending and not empty.
  void Append(uint64_t id, std::span<const PairId> pairs, SeenTimes times);
  void SetTimes(Ordinal ordinal, SeenTimes times) {
    times_[ordinal].store(uint64_t{times.first} << 32 | times.last, std::memory_order_relaxed);
  }
  uint32_t size() const { return size_; }
  uint64_t highest_id() const { return highest_id_; }
  size_t bytes() const { return records_.bytes() + blocks_.bytes() + times_.bytes() + late_.size() * kRunBytes; }

  SeenTimes Times(Ordinal ordinal) const {
    const uint64_t packed = times_[ordinal].load(std::memory_order_relaxed);
    return {static_cast<uint32_t>(packed >> 32), static_cast<uint32_t>(packed)};
  }

  // Calls visit(PairId) for each pair, ascending, and gives the id.
  template <typename Visit>
  uint64_t Read(Ordinal ordinal, Visit visit) const {
    const Block& block = blocks_[ordinal / kBlock];
    uint64_t highest = block.highest_before;
    Record record = RecordAt(block.at);
    for (uint32_t left = ordinal % kBlock; left > 0; --left) {
      highest = std::max(highest, highest + record.id_step);
      record = RecordAt(record.end);
    }
    uint64_t pair = 0;
    for (const uint8_t* at = record.body; at != record.end;) {
      uint64_t delta = 0;
      at = GetVarint(at, delta);
      pair += delta;
      visit(static_cast<PairId>(pair));
    }
    return highest + record.id_step;
  }

  // Nothing when no series has the id. The writer's alone.
  std::optional<Ordinal> Find(uint64_t id) const;

 private:
  static constexpr uint32_t kBlock = 16;
  // A record that does not fit behind the one before it: a zero and the address where it stands instead.
  static constexpr size_t kJump = 1 + sizeof(const uint8_t*);

  static constexpr size_t kRunBytes = 64;  // a node of the map

  struct Block {
    const uint8_t* at;
    uint64_t highest_before;
  };
  // Ids that came late, one after the other, as did their ordinals.
  struct LateRun {
    uint32_t count;
    Ordinal first;
  };
  struct Record {
    const uint8_t* body;
    const uint8_t* end;
    int64_t id_step;  // from the highest id before it; below 0: it came late
  };

  static Record RecordAt(const uint8_t* at);
  uint8_t* Place(size_t size, bool begins_block);
  void NoteLate(uint64_t id, Ordinal ordinal);

  ByteArena records_;
  StableArray<Block> blocks_;
  StableArray<std::atomic<uint64_t>> times_;
  std::vector<uint8_t> body_;         // reused
  std::map<uint64_t, LateRun> late_;  // by their first id
  uint32_t size_ = 0;
  uint64_t highest_id_ = 0;
};

// The head is (bytes of the body << 1 | id_step != 1), then the step in zigzag when it is not 1.
inline SeriesLog::Record SeriesLog::RecordAt(const uint8_t* at) {
  if (*at == 0) std::memcpy(&at, at + 1, sizeof(at));
  uint64_t head = 0;
  at = GetVarint(at, head);
  int64_t step = 1;
  if ((head & 1) != 0) {
    uint64_t zigzag = 0;
    at = GetVarint(at, zigzag);
    step = static_cast<int64_t>(zigzag >> 1) ^ -static_cast<int64_t>(zigzag & 1);
  }
  return {at, at + (head >> 1), step};
}

}  // namespace mi::catalog
