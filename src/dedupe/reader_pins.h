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
    // Whether all of them have released their pins since.
    bool Gone();

   private:
    friend class ReaderPins;
    std::vector<std::pair<const std::atomic<uint64_t>*, uint64_t>> held_;
  };
  Readers Current() const;

 private:
  // Low half: how many readers hold the pin. High half: how often the number has returned to 0.
  static constexpr uint64_t kHolders = 0xffff'ffff;
  struct alignas(64) Word {
    std::atomic<uint64_t> value{0};
  };

  std::atomic<uint64_t>& OfThisThread();
  static void Release(std::atomic<uint64_t>& word);

  std::array<Word, 64> words_;
};

}  // namespace mi::dedupe
