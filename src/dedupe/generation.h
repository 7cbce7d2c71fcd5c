// One generation of a shard's lines: whole pages of memory, and where a key stands in them.
//
// Threads: Find and the clocks are lock-free; Place, CopyLine, Remove and RepairOverflow need the shard's lock.
// Ownership: maps its pages, unmaps them when it goes; who reads without the lock holds a pin (ReaderPins).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "dedupe/byte_clock.h"
#include "dedupe/line.h"

namespace mi::dedupe {

class Generation;

// An entry that was found. Valid while the reader holds its pin, or the shard's lock.
struct Entry {
  Generation* generation = nullptr;
  Line* line = nullptr;
  unsigned slot = 0;
  uint64_t key = 0;

  explicit operator bool() const { return line != nullptr; }

  uint8_t Clock(ClockWord word) const {
    return ClockIn(std::atomic_ref(line->*word).load(std::memory_order_acquire), slot);
  }

  // Moves a clock to `to` if `stale(clock)`; true for exactly one of those who try at once. Follows the entry when it
  // is being copied to the next generation.
  template <typename Stale>
  bool Advance(ClockWord word, uint8_t to, Stale stale) const;
};

class alignas(64) Generation {
 public:
  // Nothing when there is no memory. Pages are zeroed when they are first touched: huge ones take a third off a look-up
  // in ten million, but a quarter of a millisecond each to touch, and 5 ms where a virtual machine has to fetch them
  // from its host. So they are for tables that are filled while nobody waits.
  enum class Pages { kSmall, kHuge };
  static std::unique_ptr<Generation> Create(size_t pages, Pages kind);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  size_t pages() const { return line_count_ / kPageLines; }
  size_t line_count() const { return line_count_; }
  size_t slots() const { return line_count_ * Line::kSlots; }
  Line* lines() const { return lines_; }

  // The line depends on the key's upper bits, in order of keys: any number of lines, no division.
  Line* Home(uint64_t key) const {
    return lines_ + static_cast<size_t>((static_cast<unsigned __int128>(key) * line_count_) >> 64);
  }

  Entry Find(uint64_t key) { return FindFrom(Home(key), key); }
  // Requires: home == Home(key).
  Entry FindFrom(Line* home, uint64_t key) {
    for (size_t step = 0; step < kPageLines; ++step) {
      Line* const line = ProbeOf(home, step);
      if (const unsigned slot = line->SlotOf(key); slot < Line::kSlots) return {this, line, slot, key};
      if (!line->overflowed()) break;
    }
    return {};
  }

  // Nothing when the key's page is full. Requires: the key is not in here.
  Entry Place(uint64_t key, uint8_t active, uint8_t confirmed);

  // Copies the entries of line `index` to `next` and freezes it. Gives how many found no place. From here on their
  // clocks are those in `next`. Requires: `next` is linked.
  size_t CopyLine(size_t index);

  static void Remove(Line& line, unsigned slot);
  // Recomputes where entries of a page overflow, after some were removed.
  void RepairOverflow(size_t page);

  // The generation that this one is being copied to; linked once, for good.
  std::atomic<Generation*> next{nullptr};

 private:
  Generation(Line* lines, size_t pages) : lines_(lines), line_count_(pages * kPageLines) {}

  Line* const lines_;
  const size_t line_count_;
};

template <typename Stale>
bool Entry::Advance(ClockWord word, uint8_t to, Stale stale) const {
  Entry at = *this;
  // A copy arrives with a pending clock. Until it is filled in, the frozen original says what it is.
  uint8_t inherited = kPendingClock;
  while (at) {
    std::atomic_ref ref(at.line->*word);
    uint64_t seen = ref.load(std::memory_order_acquire);
    while (true) {
      uint8_t clock = ClockIn(seen, at.slot);
      if (clock == kPendingClock) clock = inherited;
      if (clock == kPendingClock || !stale(clock)) return false;
      if ((seen & Line::kFrozen) != 0) {
        inherited = clock;
        break;
      }
      if (at.line->Key(at.slot) != key) return false;  // swept since it was found
      if (ref.compare_exchange_weak(seen, WithClock(seen, at.slot, to), std::memory_order_acq_rel)) return true;
    }
    at = at.generation->next.load(std::memory_order_acquire)->Find(key);
  }
  return false;
}

}  // namespace mi::dedupe
