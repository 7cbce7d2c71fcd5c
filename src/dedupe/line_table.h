// A hash table of fingerprints with two clocks each, in 64 shards that grow independently (docs/adr/0006).
//
//   fingerprint.hi ──> shard          fingerprint.lo ──> key, its line
//   directory_[shard] ──> current generation ──next──> larger generation, while the shard grows
//
// A shard grows by copying its lines to a larger generation in slices, a few lines with each insert. Meanwhile readers
// look in the old generation first and then in the new one. The sizes of the shards are staggered, so they do not all
// grow at the same time.
//
// Threads: safe. Reading takes one pin per batch and no lock. Inserting locks a shard for a slice of work. Memory is
//          freed without holding a shard's lock, once no reader can see it.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "dedupe/generation.h"
#include "dedupe/reader_pins.h"
#include "model/fingerprint.h"

namespace mi::dedupe {

class LineTable {
 public:
  static constexpr int kShardBits = 6;
  static constexpr size_t kShards = size_t{1} << kShardBits;
  // A generation is filled up to kFull, and the next one is larger by kGrowth. So a table that is not growing takes
  // 64 / 6 / 0.85 = 12.5 to 17.6 bytes per entry, depending on when its shards grew; 15 on average over all shards.
  static constexpr double kFull = 0.85;
  static constexpr double kGrowth = 1.4;

  LineTable();
  ~LineTable();

  static size_t ShardOf(model::Fingerprint fingerprint) { return fingerprint.hi >> (64 - kShardBits); }
  // 0 marks a free slot.
  static uint64_t KeyOf(model::Fingerprint fingerprint) { return fingerprint.lo != 0 ? fingerprint.lo : 1; }

  // A fingerprint with this shard and key, which is all that the table keeps of one.
  static model::Fingerprint Recall(size_t shard, uint64_t key) {
    return {.hi = uint64_t{shard} << (64 - kShardBits), .lo = key};
  }

  // Calls at_home(index, line, slot, key) for each fingerprint with its home line; the result says whether that
  // answered it. at_home must not branch on what it finds. It must accept slot == kSlots (not found); its result is
  // then ignored. For the fingerprints that are not answered, calls found(index, entry), in any order; `entry` is false
  // if the fingerprint is not in the table.
  template <typename AtHome, typename Found>
  void FindEach(std::span<const model::Fingerprint> fingerprints, AtHome at_home, Found found);
  template <typename Found>
  void FindEach(std::span<const model::Fingerprint> fingerprints, Found found) {
    FindEach(fingerprints, [](size_t, Line&, unsigned, uint64_t) { return false; }, found);
  }

  struct Clocks {
    uint8_t active;
    uint8_t confirmed;
  };
  // Inserts each with the clocks that clocks_of(index, key) returns, or calls found(index, entry) if it is there
  // already. Returns how many are in the table then. Refuses what exceeds `max_entries`, and keys whose page is full
  // while the shard is not, which only happens with keys that were made to collide.
  template <typename ClocksOf, typename Found>
  size_t InsertEach(std::span<const model::Fingerprint> fingerprints, ClocksOf clocks_of, Found found);

  enum class Verdict { kKeep, kDrop };
  // Calls visit(entry) for each entry of a shard, under the shard's lock, one page at a time. Finishes a growth first.
  // If the shard grows meanwhile, calls restarted() and begins again.
  void Visit(
      size_t shard, const std::function<Verdict(const Entry&)>& visit, const std::function<void()>& restarted = [] {});
  // Removes those that are in the table. Finishes a growth of their shards first.
  void Remove(std::span<const model::Fingerprint> fingerprints);
  // Moves a shard that is much too large for its entries to a smaller generation.
  void Shrink(size_t shard);
  // Makes room for `entries` in an empty shard. They may then be inserted in the order of their keys. Call it with 0
  // after that.
  void Reserve(size_t shard, size_t entries);
  // Frees memory that no reader can see any more. InsertEach does it, too.
  void Collect();

  void SetMaxEntries(uint64_t max_entries) { max_entries_ = max_entries; }  // 0: no limit
  uint64_t entries() const { return entries_; }
  uint64_t slots() const { return pages_ * kPageSlots; }
  uint64_t bytes() const { return pages_ * kPageBytes + sizeof(*this) + 2 * kShards * sizeof(Generation); }

 private:
  struct alignas(64) Shard {
    Mutex mutex;
    size_t index = 0;
    uint64_t entries GUARDED_BY(mutex) = 0;
    uint64_t reserved GUARDED_BY(mutex) = 0;  // entries that will be inserted in the order of their keys
    std::unique_ptr<Generation> current GUARDED_BY(mutex);
    std::unique_ptr<Generation> next GUARDED_BY(mutex);  // while the shard grows
    size_t copied GUARDED_BY(mutex) = 0;                 // lines of `current` that were copied to `next`
  };
  struct Retired {
    std::unique_ptr<Generation> generation;
    ReaderPins::Readers readers;
  };

  // Fetches the line where the search for a fingerprint begins.
  [[gnu::always_inline]] Line* Prefetch(model::Fingerprint fingerprint) const {
    Line* const home = directory_[ShardOf(fingerprint)].load(std::memory_order_seq_cst)->Home(KeyOf(fingerprint));
    __builtin_prefetch(home);
    return home;
  }
  // Searches the current generation of the shard, then those that it is being copied to.
  Entry Find(model::Fingerprint fingerprint) const;

  static Entry FindLocked(Shard& shard, uint64_t key) REQUIRES(shard.mutex);
  bool InsertNew(Shard& shard, uint64_t key, Clocks clocks) REQUIRES(shard.mutex);
  void RemoveEntry(Shard& shard, uint64_t key) REQUIRES(shard.mutex);
  bool TakeEntry();
  void StartCopy(Shard& shard, size_t pages, Generation::Pages kind = Generation::Pages::kSmall) REQUIRES(shard.mutex);
  void CopySlice(Shard& shard, size_t lines) REQUIRES(shard.mutex);
  void FinishCopy(Shard& shard) EXCLUDES(shard.mutex);
  void VisitPage(Shard& shard, size_t page, const std::function<Verdict(const Entry&)>& visit) REQUIRES(shard.mutex);
  void Retire(std::unique_ptr<Generation> generation);

  // Read by look-ups; in other cache lines than what writers change.
  std::array<std::atomic<Generation*>, kShards> directory_{};
  ReaderPins pins_;
  std::array<Shard, kShards> shards_;
  std::atomic<uint64_t> entries_ = 0;
  std::atomic<uint64_t> pages_ = 0;
  std::atomic<uint64_t> max_entries_ = 0;
  std::atomic<size_t> retired_count_ = 0;
  Mutex retired_mutex_;
  std::vector<Retired> retired_ GUARDED_BY(retired_mutex_);
};

// Three costs decide how fast this is: cache misses, mispredicted branches, and instructions.
//   - Home lines are prefetched kAhead fingerprints before they are read.
//   - One entry in twelve is not in its home line, and no processor can predict which. So there is no branch on it: the
//     index and home line are always stored in `rest`, and rest_count grows only if the entry was not answered.
//   - It is never inlined, and plain arrays and pointers are local to it, so that they stay in registers: inside its
//     callers, all of them would be in memory.
template <typename AtHome, typename Found>
[[gnu::noinline]] void LineTable::FindEach(std::span<const model::Fingerprint> fingerprints, AtHome at_home,
                                           Found found) {
  constexpr size_t kAhead = 24;  // about as many cache misses as a core has in flight
  constexpr size_t kRest = 32;
  struct Rest {
    size_t index;
    Line* home;
  };
  Line* homes[kAhead];  // NOLINT(modernize-avoid-c-arrays): an index of std::array is checked
  Rest rest[kRest];     // NOLINT(modernize-avoid-c-arrays)
  size_t rest_count = 0;
  const model::Fingerprint* const all = fingerprints.data();
  const size_t count = fingerprints.size();
  const auto find_rest = [this, all, &rest, &found](size_t waiting) {
    for (size_t i = 0; i < waiting; ++i) __builtin_prefetch(ProbeOf(rest[i].home, 1));
    for (size_t i = 0; i < waiting; ++i) found(rest[i].index, Find(all[rest[i].index]));
  };

  const ReaderPins::Pin pin(pins_);
  for (size_t index = 0; index < std::min(kAhead, count); ++index) homes[index] = Prefetch(all[index]);
  size_t turn = 0;
  for (size_t index = 0; index < count; ++index) {
    const uint64_t key = KeyOf(all[index]);
    Line* const home = homes[turn];
    if (index + kAhead < count) homes[turn] = Prefetch(all[index + kAhead]);
    turn = turn + 1 == kAhead ? 0 : turn + 1;
    const unsigned slot = home->SlotOf(key);
    const bool settled = at_home(index, *home, slot, key) & (slot < Line::kSlots);
    rest[rest_count] = {index, home};
    rest_count += settled ? 0 : 1;
    if (rest_count == kRest) {
      find_rest(rest_count);
      rest_count = 0;
    }
  }
  find_rest(rest_count);
}

template <typename ClocksOf, typename Found>
size_t LineTable::InsertEach(std::span<const model::Fingerprint> fingerprints, ClocksOf clocks_of, Found found) {
  constexpr size_t kAhead = 16;
  size_t inside = 0;
  {
    const ReaderPins::Pin pin(pins_);  // for the prefetch; everything else is done under the shards' locks
    for (size_t index = 0; index < fingerprints.size(); ++index) {
      if (index + kAhead < fingerprints.size()) Prefetch(fingerprints[index + kAhead]);
      Shard& shard = shards_[ShardOf(fingerprints[index])];
      const uint64_t key = KeyOf(fingerprints[index]);
      const MutexLock lock(shard.mutex);
      if (const Entry entry = FindLocked(shard, key)) {
        found(index, entry);
        ++inside;
      } else {
        inside += InsertNew(shard, key, clocks_of(index, key)) ? 1 : 0;
      }
    }
  }
  Collect();
  return inside;
}

}  // namespace mi::dedupe
