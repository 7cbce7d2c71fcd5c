// Tells when everybody who might still read something has gone: the waiting is done by who gives memory back, never by
// a reader.
//
// A reader holds a pin while it follows pointers (once a batch). Whoever unlinks something notes which pins were held
// then, and may free it when all of those have been let go since.
//
// Threads: safe, lock-free. Any number of readers: pins are counters, shared when there are more threads than pins.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
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

  // Readers that may hold what was unlinked before the call.
  class Readers {
   public:
    // True from the first call on that finds all of them gone.
    bool Gone();

   private:
    friend class ReaderPins;
    std::vector<std::pair<const std::atomic<uint64_t>*, uint64_t>> held_;
  };
  Readers Current() const;

 private:
  // Low half: how many hold the pin. High half: how often it was free since.
  static constexpr uint64_t kHolders = 0xffff'ffff;
  struct alignas(64) Word {
    std::atomic<uint64_t> value{0};
  };

  std::atomic<uint64_t>& OfThisThread();
  static void Release(std::atomic<uint64_t>& word);

  std::array<Word, 64> words_;
};

}  // namespace mi::dedupe
