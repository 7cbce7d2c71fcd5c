// Tells a writer when memory that it has unlinked can be freed, because no reader can still see it. Only the writer
// waits, never a reader.
//
// A reader holds a pin while it follows pointers, once per batch. A writer that unlinks memory notes which pins are
// held at that moment (Current), and frees the memory when each of these has been released since (Gone).
//
// Threads: safe, lock-free, for any number of readers. Pins are counters; several threads may share one.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

namespace mi::dedupe {

class ReaderPins {
 public:
  class Pin {
   public:
    explicit Pin(ReaderPins& pins) : word_(pins.OfThisThread()) { word_.fetch_add(1, std::memory_order_seq_cst); }
    ~Pin() { Release(word_); }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;

   private:
    std::atomic<uint64_t>& word_;
  };

  // The readers that may see what was unlinked before the call.
  class Readers {
   public:
    // Whether all of them have released their pins since. A pin that is held again may belong to a reader that came
    // later. The high half tells them apart: it has changed when the pin was free in between.
    bool Gone() {
      std::erase_if(held_, [](const auto& held) {
        const uint64_t value = held.first->load(std::memory_order_acquire);
        return (value & kHolders) == 0 || value >> 32 != held.second;
      });
      return held_.empty();
    }

   private:
    friend class ReaderPins;
    std::vector<std::pair<const std::atomic<uint64_t>*, uint64_t>> held_;
  };

  Readers Current() const {
    Readers readers;
    for (const Word& word : words_) {
      // Sequentially consistent, as are the increment of a pin and the store that unlinks: either this load sees the
      // pin, or the reader that holds it does not see the memory any more.
      const uint64_t value = word.value.load(std::memory_order_seq_cst);
      if ((value & kHolders) != 0) readers.held_.emplace_back(&word.value, value >> 32);
    }
    return readers;
  }

 private:
  // Low half: how many readers hold the pin. High half: how often the number has returned to 0.
  static constexpr uint64_t kHolders = 0xffff'ffff;
  struct alignas(64) Word {
    std::atomic<uint64_t> value{0};
  };

  std::atomic<uint64_t>& OfThisThread() {
    // Thread ids are addresses at equal distances. The upper bits of the product spread them over the pins.
    const uint64_t id = std::hash<std::thread::id>()(std::this_thread::get_id());
    return words_[(id * 0x9e3779b97f4a7c15) >> 58].value;
  }

  static void Release(std::atomic<uint64_t>& word) {
    uint64_t before = word.load(std::memory_order_relaxed);
    uint64_t after = 0;
    do {
      after = before - 1;
      if ((after & kHolders) == 0) after += kHolders + 1;
    } while (!word.compare_exchange_weak(before, after, std::memory_order_release, std::memory_order_relaxed));
  }

  std::array<Word, 64> words_;
};

}  // namespace mi::dedupe
