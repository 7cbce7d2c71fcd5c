#include "dedupe/reader_pins.h"

#include <functional>
#include <thread>

namespace mi::dedupe {

std::atomic<uint64_t>& ReaderPins::OfThisThread() {
  // Thread ids are addresses at equal distances. The upper bits of the product spread them over the pins.
  const uint64_t id = std::hash<std::thread::id>()(std::this_thread::get_id());
  return words_[(id * 0x9e3779b97f4a7c15) >> 58].value;
}

void ReaderPins::Release(std::atomic<uint64_t>& word) {
  uint64_t before = word.load(std::memory_order_relaxed);
  uint64_t after = 0;
  do {
    after = before - 1;
    if ((after & kHolders) == 0) after += kHolders + 1;
  } while (!word.compare_exchange_weak(before, after, std::memory_order_release, std::memory_order_relaxed));
}

ReaderPins::Readers ReaderPins::Current() const {
  Readers readers;
  for (const Word& word : words_) {
    // Sequentially consistent, as are the increment of a pin and the store that unlinks: either this load sees the pin,
    // or the reader that holds it does not see the memory any more.
    const uint64_t value = word.value.load(std::memory_order_seq_cst);
    if ((value & kHolders) != 0) readers.held_.emplace_back(&word.value, value >> 32);
  }
  return readers;
}

// A pin that is held again may belong to a reader that came later. The high half tells them apart: it has changed when
// the pin was free in between.
bool ReaderPins::Readers::Gone() {
  std::erase_if(held_, [](const auto& held) {
    const uint64_t value = held.first->load(std::memory_order_acquire);
    return (value & kHolders) == 0 || value >> 32 != held.second;
  });
  return held_.empty();
}

}  // namespace mi::dedupe
