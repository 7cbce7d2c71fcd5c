// Every series in the order in which it was added: its id, its pairs, when it was seen. About 30 bytes per series.
//
//   blocks_   [where it begins, highest id before it]      one per 16 series
//   records_  head | pair ids, ascending, as deltas        one per series
//   times_    first and last seen                          one per series
//   words_    the least and the greatest of these times    one per 64 series
//   windows_  the same                                     one per 16,384 series
//
// A series is found by its block and then by walking at most 15 records. Ids ascend, except those of transactions that
// committed late (store/ports.h). A transaction takes its ids in a block, so late ids come in runs, which are found by
// a map. Times are whole seconds: first_seen rounded down, last_seen up (see Snapshot::SeenIn).
//
// Threads: one writer. Readers may read ordinals below the size that was published to them. Times change in place, and
//          a reader sees the newest; their bounds follow them. Everything else never changes.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/varint.h"
#include "catalog/append_only.h"
#include "catalog/snapshot.h"

namespace mi::catalog {

// In seconds since the epoch.
struct SeenTimes {
  uint32_t first = 0;
  uint32_t last = 0;

  // Rounds `first` down and `last` up. A time outside of 1970 to 2106 becomes the nearest inside.
  static SeenTimes FromMs(int64_t first_seen_ms, int64_t last_seen_ms);
};

// Selects the series with first <= latest_first and last >= earliest_last.
struct SeenCondition {
  uint32_t latest_first = 0;
  uint32_t earliest_last = 0;

  bool operator()(SeenTimes times) const { return times.first <= latest_first && times.last >= earliest_last; }
};

class SeriesLog {
 public:
  // Requires: id > 0, and no series has it; pairs are ascending and not empty.
  void Append(uint64_t id, std::span<const PairId> pairs, SeenTimes times);
  // Requires: ordinal < size().
  void SetTimes(Ordinal ordinal, SeenTimes times);
  uint32_t size() const { return size_; }
  uint64_t highest_id() const { return highest_id_; }
  size_t bytes() const {
    return records_.bytes() + blocks_.bytes() + times_.bytes() + words_.bytes() + windows_.bytes() +
           late_.size() * kRunBytes;
  }

  SeenTimes Times(Ordinal ordinal) const { return Unpack(times_[ordinal].load(std::memory_order_relaxed)); }

  // Which of the 64 series from ordinal 64 * word on the condition selects, one bit each. The bits of ordinals that
  // were not published to the reader mean nothing. Requires: the first of the ordinals was published.
  uint64_t SeenWord(uint32_t word, SeenCondition condition) const;
  static constexpr uint32_t kWordSeries = 64;
  // The same for a window, as far as that can be told without looking at its series.
  Coverage SeenWindow(uint32_t window, SeenCondition condition) const { return Judge(windows_[window], condition); }
  // Whether the condition selects one of the series [first, first + count). Requires: count > 0; all were published.
  bool AnySeen(Ordinal first, uint32_t count, SeenCondition condition) const;

  // Calls visit(PairId) for each pair, ascending, and returns the id.
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
      pair += TakeVarint(at);
      visit(static_cast<PairId>(pair));
    }
    return highest + record.id_step;
  }

  // Returns nothing if no series has the id. For the writer only.
  std::optional<Ordinal> Find(uint64_t id) const;

 private:
  static constexpr uint32_t kBlock = 16;
  // Stands in the place of a record that does not fit into its chunk: a zero byte, then the record's address.
  static constexpr size_t kJump = 1 + sizeof(const uint8_t*);

  static constexpr size_t kRunBytes = 64;  // a node of the map

  struct Block {
    const uint8_t* at;
    uint64_t highest_before;
  };
  // Consecutive late ids with consecutive ordinals.
  struct LateRun {
    uint32_t count;
    Ordinal first;
  };
  struct Record {
    const uint8_t* body;
    const uint8_t* end;
    int64_t id_step;  // from the highest id before it; negative if the id is late
  };

  // Each of `least` is at most, each of `most` at least that of every series.
  struct Span {
    SeenTimes least;
    SeenTimes most;
  };
  // A Span that readers may load while it changes.
  struct Bounds {
    std::atomic<uint64_t> least;
    std::atomic<uint64_t> most;
  };

  static uint64_t Pack(SeenTimes times) { return uint64_t{times.first} << 32 | times.last; }
  static SeenTimes Unpack(uint64_t packed) {
    return {static_cast<uint32_t>(packed >> 32), static_cast<uint32_t>(packed)};
  }
  static Span Load(const Bounds& bounds);
  static void Store(Span span, Bounds& bounds);
  static Span Unite(Span a, Span b);
  static bool MayTighten(const Bounds& bounds, Span before, Span after);
  static Coverage Judge(const Bounds& bounds, SeenCondition condition);
  void AppendBounds(SeenTimes times);
  static Record RecordAt(const uint8_t* at);
  uint8_t* Place(size_t size, bool begins_block);
  void NoteLate(uint64_t id, Ordinal ordinal);

  ByteArena records_;
  StableArray<Block> blocks_;
  StableArray<std::atomic<uint64_t>> times_;  // the series of a word are in one chunk
  StableArray<Bounds> words_;
  StableArray<Bounds, 256> windows_;
  std::vector<uint8_t> body_;         // reused
  std::map<uint64_t, LateRun> late_;  // by their first id
  uint32_t size_ = 0;
  uint64_t highest_id_ = 0;
};

// The head is the varint (bytes of the body << 1 | id_step != 1), then the step in zigzag if it is not 1.
inline SeriesLog::Record SeriesLog::RecordAt(const uint8_t* at) {
  if (*at == 0) std::memcpy(&at, at + 1, sizeof(at));
  const uint64_t head = TakeVarint(at);
  int64_t step = 1;
  if ((head & 1) != 0) {
    const uint64_t zigzag = TakeVarint(at);
    step = static_cast<int64_t>(zigzag >> 1) ^ -static_cast<int64_t>(zigzag & 1);
  }
  return {at, at + (head >> 1), step};
}

}  // namespace mi::catalog
