// One cache line of the seen table: six entries with two clocks each. Readers take no lock; inserting needs one.
//
//   bytes  0..47  six keys of 8 bytes; 0 is a free slot
//   bytes 48..55  the six activity clocks, flags, a spare byte
//   bytes 56..63  the six confirmed clocks, flags, a spare byte
// The clocks of a free slot are 0 (kPendingClock).
//
// A line's clocks share a word with its flags. So an atomic operation that sets kFrozen cannot miss a clock that moves
// at the same moment. A key is stored last (release) and read first (acquire): a reader that finds a key also finds its
// clocks.
#pragma once

#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>

namespace mi::dedupe {

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

}  // namespace mi::dedupe
