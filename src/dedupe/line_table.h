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
#include <vector>

#include "base/mutex.h"
#include "dedupe/generation.h"
#include "dedupe/reader_pins.h"
#include "model/fingerprint.h"

namespace mi::dedupe {

class LineTable {
 public:
  static constexpr size_t kShards = 256;
  // A shard's latest generation is filled up to here, and the next is larger by the factor. So a settled table takes
  // 64 / 6 / 0.85 = 12.5 to 17.6 bytes an entry, depending on when its shards grew: 15 over staggered shards.
  static constexpr double kFull = 0.85;
  static constexpr double kGrowth = 1.4;

  LineTable();
  ~LineTable();

  static size_t ShardOf(model::Fingerprint fingerprint) { return fingerprint.hi >> 56; }
  // 0 marks a free slot.
  static uint64_t KeyOf(model::Fingerprint fingerprint) { return fingerprint.lo != 0 ? fingerprint.lo : 1; }

  // Calls found(index, entry) for each fingerprint, in order; the entry is false when it is not in the table.
  template <typename Found>
  void FindEach(std::span<const model::Fingerprint> fingerprints, Found found);

  enum class Inserted { kNew, kFound, kRefused };
  // Puts a new entry in, or calls found(entry) under the shard's lock. Refused when `max_entries` are in the table,
  // when there is no memory, and when the page is full of keys that were made to meet there.
  template <typename Found>
  Inserted Insert(model::Fingerprint fingerprint, uint8_t active, uint8_t confirmed, Found found) {
    Shard& shard = shards_[ShardOf(fingerprint)];
    const uint64_t key = KeyOf(fingerprint);
    const MutexLock lock(shard.mutex);
    if (const Entry entry = FindLocked(shard, key)) {
      found(entry);
      return Inserted::kFound;
    }
    return InsertNew(shard, key, active, confirmed) ? Inserted::kNew : Inserted::kRefused;
  }

  enum class Verdict { kKeep, kDrop };
  // Calls visit(entry) for each entry of a shard under its lock, a page at a time, after growth in it has been brought
  // to its end. Begins again, and calls restarted(), when the shard grows meanwhile.
  void Visit(size_t shard, const std::function<Verdict(const Entry&)>& visit, const std::function<void()>& restarted);
  // Gives a shard that is much too large for what is left in it a smaller generation.
  void Shrink(size_t shard);
  // Makes room for `entries` in an empty shard at once.
  void Reserve(size_t shard, size_t entries);
  // Gives back memory that no reader can see any more.
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
    std::unique_ptr<Generation> current GUARDED_BY(mutex);
    std::unique_ptr<Generation> next GUARDED_BY(mutex);  // being filled from `current`
    size_t copied GUARDED_BY(mutex) = 0;                 // lines of `current` that are in `next`
  };
  struct Retired {
    std::unique_ptr<Generation> generation;
    ReaderPins::Readers readers;
  };

  static Entry FindLocked(Shard& shard, uint64_t key) REQUIRES(shard.mutex);
  bool InsertNew(Shard& shard, uint64_t key, uint8_t active, uint8_t confirmed) REQUIRES(shard.mutex);
  bool TakeEntry();
  bool StartCopy(Shard& shard, size_t pages) REQUIRES(shard.mutex);
  void CopySlice(Shard& shard, size_t lines) REQUIRES(shard.mutex);
  void FinishCopy(Shard& shard) EXCLUDES(shard.mutex);
  void VisitPage(Shard& shard, size_t page, const std::function<Verdict(const Entry&)>& visit) REQUIRES(shard.mutex);
  void Retire(std::unique_ptr<Generation> generation);

  // What readers follow, apart from what only writers touch: 2 KB.
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

template <typename Found>
void LineTable::FindEach(std::span<const model::Fingerprint> fingerprints, Found found) {
  struct Probe {
    Generation* generation;
    Line* home;
  };
  constexpr size_t kAhead = 16;  // as many cache misses as a core has in flight
  std::array<Probe, kAhead> probes;
  const auto prefetch = [&](size_t index) {
    Generation* const generation = directory_[ShardOf(fingerprints[index])].load(std::memory_order_seq_cst);
    Line* const home = generation->Home(KeyOf(fingerprints[index]));
    __builtin_prefetch(home);
    probes[index % kAhead] = {generation, home};
  };

  const ReaderPins::Pin pin(pins_);
  for (size_t index = 0; index < std::min(kAhead, fingerprints.size()); ++index) prefetch(index);
  for (size_t index = 0; index < fingerprints.size(); ++index) {
    const uint64_t key = KeyOf(fingerprints[index]);
    const Probe probe = probes[index % kAhead];
    if (index + kAhead < fingerprints.size()) prefetch(index + kAhead);
    Entry entry = probe.generation->FindFrom(probe.home, key);
    for (Generation* later = probe.generation; !entry;) {
      later = later->next.load(std::memory_order_seq_cst);
      if (later == nullptr) break;
      entry = later->Find(key);
    }
    found(index, entry);
  }
}

}  // namespace mi::dedupe
