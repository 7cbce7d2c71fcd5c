// One generation of a shard of the seen table: whole pages of lines, and the rule by which a key has its place in them.
//
// A key's home line depends on its upper bits. If the home line is full, the entry is placed in another line of the
// same page, and every line that was tried before gets the flag kOverflow. So a probe ends at the first line without
// it.
//
// Threads: Find and the clocks are lock-free; Place, CopyLine, Remove and RepairOverflow need the shard's lock.
// Ownership: owns its pages. A reader without the lock holds a pin (ReaderPins) while it uses them.
#pragma once

#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "dedupe/byte_clock.h"

namespace mi::dedupe {

// One cache line: six entries with two clocks each.
//
//   bytes  0..47  six keys of 8 bytes; 0 is a free slot
//   bytes 48..55  the six activity clocks, flags, a spare byte
//   bytes 56..63  the six confirmed clocks, flags, a spare byte
// The clocks of a free slot are 0 (kPendingClock).
//
// A line's clocks share a word with its flags. So an atomic operation that sets kFrozen cannot miss a clock that moves
// at the same moment. A key is stored last (release) and read first (acquire): a reader that finds a key also finds its
// clocks.
struct alignas(64) Line {
  static constexpr unsigned kSlots = 6;
  // The probe for a key that comes to this line must go on: an entry was placed beyond it.
  static constexpr uint64_t kOverflow = uint64_t{1} << 48;
  // Copied to the next generation: the clocks no longer move here but there.
  static constexpr uint64_t kFrozen = uint64_t{1} << 49;

  uint64_t keys[kSlots];
  uint64_t active;
  uint64_t confirmed;

  uint64_t Key(unsigned slot) { return std::atomic_ref(keys[slot]).load(std::memory_order_acquire); }
  void SetKey(unsigned slot, uint64_t key) { std::atomic_ref(keys[slot]).store(key, std::memory_order_release); }

  // The slot of `key`, or kSlots. All six are compared: an entry's slot is random, so a branch on it would cost more.
  unsigned SlotOf(uint64_t key) {
    unsigned matches = 1U << kSlots;
    for (unsigned slot = 0; slot < kSlots; ++slot) matches |= static_cast<unsigned>(Key(slot) == key) << slot;
    return static_cast<unsigned>(__builtin_ctz(matches));
  }

  uint8_t Clock(uint64_t Line::* word, unsigned slot) {
    return static_cast<uint8_t>(std::atomic_ref(this->*word).load(std::memory_order_acquire) >> (8 * slot));
  }

  bool overflowed() { return (std::atomic_ref(active).load(std::memory_order_acquire) & kOverflow) != 0; }
};
static_assert(sizeof(Line) == 64);

// An entry whose home line is full is placed in another line of the same page.
inline constexpr size_t kPageBytes = 4096;
inline constexpr size_t kPageLines = kPageBytes / sizeof(Line);
inline constexpr size_t kPageSlots = kPageLines * Line::kSlots;

// The step-th line to try, by exclusive or. The second is the other half of a 128-byte pair, which processors tend to
// fetch together. Requires: step < kPageLines.
inline Line* ProbeOf(Line* home, size_t step) {
  assert(step < kPageLines);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the exclusive or is one of addresses
  return reinterpret_cast<Line*>(reinterpret_cast<uintptr_t>(home) ^ (step * sizeof(Line)));
}

// Which of a line's two clock words.
using ClockWord = uint64_t Line::*;

inline uint8_t ClockIn(uint64_t word, unsigned slot) { return static_cast<uint8_t>(word >> (8 * slot)); }
inline uint64_t WithClock(uint64_t word, unsigned slot, uint8_t clock) {
  return (word & ~(uint64_t{0xff} << (8 * slot))) | (uint64_t{clock} << (8 * slot));
}
inline void StoreClock(uint64_t& word, unsigned slot, uint8_t clock) {
  std::atomic_ref ref(word);
  uint64_t seen = ref.load(std::memory_order_relaxed);
  while (!ref.compare_exchange_weak(seen, WithClock(seen, slot, clock), std::memory_order_acq_rel)) {
  }
}

class Generation;

// Where an entry is. Valid while the reader holds its pin or the shard's lock.
struct Entry {
  Generation* generation = nullptr;
  Line* line = nullptr;
  unsigned slot = 0;
  uint64_t key = 0;

  explicit operator bool() const { return line != nullptr; }

  uint8_t Clock(ClockWord word) const {
    return ClockIn(std::atomic_ref(line->*word).load(std::memory_order_acquire), slot);
  }

  // Moves a clock to `to` if `stale(clock)`. Returns true to exactly one of the threads that try at the same time. If
  // the entry was copied to the next generation, moves the copy's clock.
  template <typename Stale>
  bool Advance(ClockWord word, uint8_t to, Stale stale) const;
};

class alignas(64) Generation {
 public:
  // The kernel zeroes a page when it is first touched. Huge pages make a look-up among ten million entries a third
  // faster, but the first touch of each takes 0.25 ms, or 5 ms where a virtual machine fetches it from its host. So
  // they are for tables that are filled at start, while no request waits.
  enum class Pages { kSmall, kHuge };
  Generation(size_t pages, Pages kind);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  size_t pages() const { return line_count_ / kPageLines; }
  size_t line_count() const { return line_count_; }
  size_t slots() const { return line_count_ * Line::kSlots; }
  Line* lines() const { return lines_; }

  // Lines are in the order of the keys. Works for any number of lines, without a division.
  Line* Home(uint64_t key) const {
    return lines_ + static_cast<size_t>((static_cast<unsigned __int128>(key) * line_count_) >> 64);
  }

  Entry Find(uint64_t key) {
    Line* const home = Home(key);
    for (size_t step = 0; step < kPageLines; ++step) {
      Line* const line = ProbeOf(home, step);
      if (const unsigned slot = line->SlotOf(key); slot < Line::kSlots) return {this, line, slot, key};
      if (!line->overflowed()) break;
    }
    return {};
  }

  // Returns no entry if the key's page is full. Requires: the key is not in this generation.
  Entry Place(uint64_t key, uint8_t active, uint8_t confirmed);

  // Copies the entries of line `index` to `next` and freezes the line: from then on their clocks are those in `next`.
  // Returns how many entries found no place there. Requires: `next` is set.
  size_t CopyLine(size_t index);

  static void Remove(Line& line, unsigned slot);
  // Recomputes the flags kOverflow of a page after entries were removed.
  void RepairOverflow(size_t page);

  // The generation that this one is being copied to. Set once.
  std::atomic<Generation*> next{nullptr};

 private:
  Line* const lines_;
  const size_t line_count_;
};

template <typename Stale>
bool Entry::Advance(ClockWord word, uint8_t to, Stale stale) const {
  Entry at = *this;
  // A copy is placed with a pending clock. Until CopyLine fills it in, the clock of the frozen original counts.
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
