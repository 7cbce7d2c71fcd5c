#include "dedupe/generation.h"

#include <sys/mman.h>

#include <array>
#include <cassert>

#include "base/fatal.h"

namespace mi::dedupe {

namespace {

Line* MapPages(size_t pages, Generation::Pages kind) {
  constexpr size_t kHugeBytes = size_t{2} << 20;
  const size_t bytes = pages * kPageBytes;
  const bool huge = kind == Generation::Pages::kHuge && bytes >= kHugeBytes;
  // A huge page begins at a multiple of its size. Maps more than needed and unmaps what is before and behind.
  const size_t mapped = huge ? bytes + kHugeBytes : bytes;
  void* const memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) OutOfMemory();
  char* lines = static_cast<char*>(memory);
  if (huge) {
    const size_t before = -reinterpret_cast<uintptr_t>(lines) % kHugeBytes;
    if (before != 0) munmap(lines, before);
    lines += before;
    if (before != kHugeBytes) munmap(lines + bytes, kHugeBytes - before);
    madvise(lines, bytes, MADV_HUGEPAGE);
  }
  return reinterpret_cast<Line*>(lines);
}

}  // namespace

Generation::Generation(size_t pages, Pages kind) : lines_(MapPages(pages, kind)), line_count_(pages * kPageLines) {}

Generation::~Generation() { munmap(lines_, line_count_ * sizeof(Line)); }

// Takes the first line on the key's probe path that has a free slot. Readers may probe at the same time, so the order
// of the stores matters: first the flags kOverflow of the lines that were passed, then the clocks, and the key last. A
// reader that finds the key thus finds its clocks. A reader that comes too early finds nothing, as if it had come
// before the insert. Needs the shard's lock against other writers. Costs one cache line if the home line has a free
// slot, and at most a page.
Entry Generation::Place(uint64_t key, uint8_t active, uint8_t confirmed) {
  assert(!Find(key));
  Line* const home = Home(key);
  size_t steps = 0;
  unsigned slot = home->SlotOf(0);
  while (slot == Line::kSlots) {
    if (++steps == kPageLines) return {};
    slot = ProbeOf(home, steps)->SlotOf(0);
  }
  for (size_t passed = 0; passed < steps; ++passed) {
    Line* const line = ProbeOf(home, passed);
    if (!line->overflowed()) std::atomic_ref(line->active).fetch_or(Line::kOverflow, std::memory_order_release);
  }
  Line* const line = ProbeOf(home, steps);
  if (active != kPendingClock) StoreClock(line->active, slot, active);
  if (confirmed != kPendingClock) StoreClock(line->confirmed, slot, confirmed);
  line->SetKey(slot, key);
  return {this, line, slot, key};
}

void Generation::Remove(Line& line, unsigned slot) {
  line.SetKey(slot, 0);
  StoreClock(line.active, slot, kPendingClock);
  StoreClock(line.confirmed, slot, kPendingClock);
}

// Readers may look up and move clocks while a line is copied. The order makes that safe:
//   1. place copies in the next generation, with pending clocks;
//   2. freeze the line: an atomic `or` that returns the last clocks;
//   3. fill the pending clocks of the copies.
// Before 2 a clock moves in the old line, and 2 picks it up. After 2 a reader that finds the line frozen finds the copy
// too, and moves the copy's clock (Entry::Advance). Step 3 then leaves that clock alone, since it is no longer pending.
size_t Generation::CopyLine(size_t index) {
  assert(next.load(std::memory_order_relaxed) != nullptr);
  Line& from = lines_[index];
  Generation& to = *next.load(std::memory_order_relaxed);
  std::array<Entry, Line::kSlots> copies;
  size_t lost = 0;
  for (unsigned slot = 0; slot < Line::kSlots; ++slot) {
    const uint64_t key = from.Key(slot);
    if (key == 0) continue;
    copies[slot] = to.Place(key, kPendingClock, kPendingClock);
    if (!copies[slot]) ++lost;
  }
  for (const ClockWord word : {&Line::active, &Line::confirmed}) {
    const uint64_t frozen = std::atomic_ref(from.*word).fetch_or(Line::kFrozen, std::memory_order_acq_rel);
    for (unsigned slot = 0; slot < Line::kSlots; ++slot) {
      const Entry& copy = copies[slot];
      if (!copy) continue;
      std::atomic_ref ref(copy.line->*word);
      uint64_t seen = ref.load(std::memory_order_acquire);
      while (ClockIn(seen, copy.slot) == kPendingClock) {
        const uint64_t filled = WithClock(seen, copy.slot, ClockIn(frozen, slot));
        if (ref.compare_exchange_weak(seen, filled, std::memory_order_acq_rel)) break;
      }
    }
  }
  return lost;
}

// Without this, flags would only accumulate, and look-ups of unknown keys would probe whole pages. A line needs its
// flag exactly if the probe of some entry of the page passes it, so one pass over the page finds all of them. Clears
// flags only: a reader that still sees an old flag probes more lines than it must, but never misses an entry. Needs the
// shard's lock.
void Generation::RepairOverflow(size_t page) {
  Line* const first = lines_ + page * kPageLines;
  uint64_t passed = 0;  // one bit per line: an entry's probe passes it
  for (size_t at = 0; at < kPageLines; ++at) {
    for (unsigned slot = 0; slot < Line::kSlots; ++slot) {
      const uint64_t key = first[at].Key(slot);
      if (key == 0) continue;
      const auto home = static_cast<size_t>(Home(key) - first);
      for (size_t step = 0; (home ^ step) != at; ++step) passed |= uint64_t{1} << (home ^ step);
    }
  }
  for (size_t at = 0; at < kPageLines; ++at) {
    if ((passed >> at & 1) == 0 && first[at].overflowed()) {
      std::atomic_ref(first[at].active).fetch_and(~Line::kOverflow, std::memory_order_acq_rel);
    }
  }
}

}  // namespace mi::dedupe
