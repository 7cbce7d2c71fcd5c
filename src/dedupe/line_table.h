// Fingerprints with two clocks each, in shards that grow by themselves.
//
// The upper half of a fingerprint chooses the shard, the lower half is the key that is kept and chooses the line. So a
// shard knows all that it takes to move its entries to a larger generation: it does so in slices, a few lines with each
// insert, while readers look in the old generation first and then in the new one. Memory and work come a shard at a
// time: the sizes of the shards are staggered, so that they do not all grow at once.
//
// Threads: safe. Reading takes a pin a batch and no lock; inserting locks a shard for a slice of work. Memory is given
// back off any lock, once no reader can see it.
#pragma once

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
  // A shard's latest generation is filled up to here, and the next is larger by the factor. So a settled table takes
  // 64 / 6 / 0.85 = 12.5 to 17.6 bytes an entry, depending on when its shards grew: 15 over staggered shards.
  static constexpr double kFull = 0.85;
  static constexpr double kGrowth = 1.4;

  LineTable();
  ~LineTable();

  static size_t ShardOf(model::Fingerprint fingerprint) { return fingerprint.hi >> (64 - kShardBits); }
  // 0 marks a free slot.
  static uint64_t KeyOf(model::Fingerprint fingerprint) { return fingerprint.lo != 0 ? fingerprint.lo : 1; }

  // A fingerprint with the same shard and key: all that the table knows of one.
  static model::Fingerprint Recall(size_t shard, uint64_t key) {
    return {.hi = uint64_t{shard} << (64 - kShardBits), .lo = key};
  }

  // Settles most at once: at_home(index, line, slot, key) is called for each fingerprint with its home line and says
  // whether it took it. It must not branch on what it sees, and must bear the slot kSlots: then the key is not in this
  // line, and what it says does not count. For the rest found(index, entry) is called, in any order; the entry is false
  // when it is not in the table.
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
  // Puts each in with the clocks that clocks_of(index, key) gives, or calls found(index, entry) for those that are in
  // already. Gives how many are inside then. Refused are those beyond `max_entries`, those that there is no memory for,
  // and those whose page is full of keys that were made to meet there.
  template <typename ClocksOf, typename Found>
  size_t InsertEach(std::span<const model::Fingerprint> fingerprints, ClocksOf clocks_of, Found found);

  enum class Verdict { kKeep, kDrop };
  // Calls visit(entry) for each entry of a shard under its lock, a page at a time, after growth in it has been brought
  // to its end. Begins again, and calls restarted(), when the shard grows meanwhile.
  void Visit(size_t shard, const std::function<Verdict(const Entry&)>& visit, const std::function<void()>& restarted);
  // Gives a shard that is much too large for what is left in it a smaller generation.
  void Shrink(size_t shard);
  // Makes room for `entries` in an empty shard at once; they may come in the order in which Visit gives them. 0: all
  // that were to come have come.
  void Reserve(size_t shard, size_t entries);
  // Gives back memory that no reader can see any more. Inserting does it, too.
  void Collect();

  void SetMaxEntries(uint64_t max_entries) { max_entries_ = max_entries; }  // 0: bounded by memory alone
  uint64_t entries() const { return entries_; }
  uint64_t slots() const { return pages_ * kPageSlots; }
  uint64_t bytes() const { return pages_ * kPageBytes + sizeof(*this) + 2 * kShards * sizeof(Generation); }

 private:
  struct alignas(64) Shard {
    Mutex mutex;
    size_t index = 0;
    uint64_t entries GUARDED_BY(mutex) = 0;
    uint64_t reserved GUARDED_BY(mutex) = 0;  // entries that are still to come, in the order of their lines
    std::unique_ptr<Generation> current GUARDED_BY(mutex);
    std::unique_ptr<Generation> next GUARDED_BY(mutex);  // being filled from `current`
    size_t copied GUARDED_BY(mutex) = 0;                 // lines of `current` that are in `next`
  };
  struct Retired {
    std::unique_ptr<Generation> generation;
    ReaderPins::Readers readers;
  };

  // Where a key is looked for first.
  struct Probe {
    Generation* generation;
    Line* home;
  };
  [[gnu::always_inline]] Probe Prefetch(model::Fingerprint fingerprint) const {
    Generation* const generation = directory_[ShardOf(fingerprint)].load(std::memory_order_seq_cst);
    Line* const home = generation->Home(KeyOf(fingerprint));
    __builtin_prefetch(home);
    return {generation, home};
  }
  // In the probe's generation, then in those that it is being copied to.
  static Entry Find(const Probe& probe, uint64_t key);

  static Entry FindLocked(Shard& shard, uint64_t key) REQUIRES(shard.mutex);
  bool InsertNew(Shard& shard, uint64_t key, Clocks clocks) REQUIRES(shard.mutex);
  bool TakeEntry();
  bool StartCopy(Shard& shard, size_t pages, Generation::Pages kind = Generation::Pages::kSmall) REQUIRES(shard.mutex);
  void CopySlice(Shard& shard, size_t lines) REQUIRES(shard.mutex);
  void FinishCopy(Shard& shard) EXCLUDES(shard.mutex);
  void VisitPage(Shard& shard, size_t page, const std::function<Verdict(const Entry&)>& visit) REQUIRES(shard.mutex);
  void Retire(std::unique_ptr<Generation> generation);

  // What readers follow, apart from what only writers touch.
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

template <typename AtHome, typename Found>
void LineTable::FindEach(std::span<const model::Fingerprint> fingerprints, AtHome at_home, Found found) {
  constexpr size_t kAhead = 24;  // about as many cache misses as a core has in flight
  std::array<Probe, kAhead> probes;
  std::array<std::pair<size_t, Probe>, 32> rest;
  size_t rest_count = 0;
  const auto find_rest = [&] {
    const auto waiting = std::span(rest).first(rest_count);
    for (const auto& [index, probe] : waiting) __builtin_prefetch(ProbeOf(probe.home, 1));
    for (const auto& [index, probe] : waiting) found(index, Find(probe, KeyOf(fingerprints[index])));
    rest_count = 0;
  };

  const ReaderPins::Pin pin(pins_);
  for (size_t index = 0; index < std::min(kAhead, fingerprints.size()); ++index) {
    probes[index] = Prefetch(fingerprints[index]);
  }
  size_t turn = 0;
  for (size_t index = 0; index < fingerprints.size(); ++index) {
    const uint64_t key = KeyOf(fingerprints[index]);
    const Probe probe = probes[turn];
    if (index + kAhead < fingerprints.size()) probes[turn] = Prefetch(fingerprints[index + kAhead]);
    turn = turn + 1 == kAhead ? 0 : turn + 1;
    // One in twelve stands elsewhere, and no processor guesses which: a branch here costs as much as all the rest.
    const unsigned slot = probe.home->SlotOf(key);
    const bool settled = at_home(index, *probe.home, slot, key) & (slot < Line::kSlots);
    rest[rest_count] = {index, probe};
    rest_count += settled ? 0 : 1;
    if (rest_count == rest.size()) find_rest();
  }
  find_rest();
}

template <typename ClocksOf, typename Found>
size_t LineTable::InsertEach(std::span<const model::Fingerprint> fingerprints, ClocksOf clocks_of, Found found) {
  constexpr size_t kAhead = 16;
  size_t inside = 0;
  {
    const ReaderPins::Pin pin(pins_);  // for looking ahead; the work itself is done under the shards' locks
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
