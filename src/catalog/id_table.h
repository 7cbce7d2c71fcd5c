// A hash table from texts to dense ids, with open addressing, and its hash function. The table keeps only hashes and
// ids; the caller keeps the texts and compares them.
//
// Threads: one writer. Readers search a Slots object that they hold. The writer continues to fill the same slots, so a
// reader ignores ids that are newer than what it may see. When the table grows it gets a new Slots object; the old
// one lives as long as a reader holds it.
#pragma once

#include <xxhash.h>

#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string_view>

namespace mi::catalog {

// A fast hash of a text, for tables in memory. The seed is random, so that a sender who chooses label values cannot
// choose collisions.
inline uint64_t HashText(std::string_view text, uint64_t seed) {
  return XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

inline uint64_t DrawSeed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

class IdTable {
 public:
  class Slots {
   public:
    explicit Slots(size_t capacity)
        : capacity_(capacity), slots_(std::make_unique<std::atomic<uint64_t>[]>(capacity)) {}

    // The first id under `hash` for which matches(id) is true. Searches from the tag's home slot to the first empty
    // one: entries are never removed, so none of this tag can be behind that. Texts are compared only if the tags are
    // equal.
    template <typename Matches>
    std::optional<uint32_t> Find(uint64_t hash, Matches matches) const {
      const uint64_t tag = hash >> 32;
      for (size_t i = Home(tag);; i = Next(i)) {
        const uint64_t slot = slots_[i].load(std::memory_order_relaxed);
        if (slot == 0) return std::nullopt;
        const auto id = static_cast<uint32_t>(slot) - 1;
        if (slot >> 32 == tag && matches(id)) return id;
      }
    }

   private:
    friend class IdTable;
    // The tag as a fraction of the capacity, which therefore need not be a power of two.
    size_t Home(uint64_t tag) const { return static_cast<size_t>(tag * capacity_ >> 32); }
    size_t Next(size_t i) const { return i + 1 == capacity_ ? 0 : i + 1; }
    void Put(uint64_t slot) {
      size_t i = Home(slot >> 32);
      while (slots_[i].load(std::memory_order_relaxed) != 0) i = Next(i);
      slots_[i].store(slot, std::memory_order_relaxed);
    }

    size_t capacity_;                                 // below 2^32
    std::unique_ptr<std::atomic<uint64_t>[]> slots_;  // tag << 32 | id + 1; 0 is empty
  };

  template <typename Matches>
  std::optional<uint32_t> Find(uint64_t hash, Matches matches) const {
    return slots_->Find(hash, matches);
  }

  // Grows by half when 80 % of the slots are used, so 53 to 80 % of them are. Requires: id < 2^32 - 1.
  void Insert(uint64_t hash, uint32_t id) {
    assert(id < UINT32_MAX);
    if ((used_ + 1) * 5 > slots_->capacity_ * 4) Grow();
    slots_->Put(hash >> 32 << 32 | (uint64_t{id} + 1));
    ++used_;
  }

  std::shared_ptr<const Slots> slots() const { return slots_; }
  size_t bytes() const { return slots_->capacity_ * sizeof(uint64_t); }

 private:
  // The tags are in the slots, so no text is hashed or read again. Readers keep the old slots, which are complete for
  // everything that they may see.
  void Grow() {
    auto grown = std::make_shared<Slots>(slots_->capacity_ + slots_->capacity_ / 2);
    for (size_t i = 0; i < slots_->capacity_; ++i) {
      const uint64_t slot = slots_->slots_[i].load(std::memory_order_relaxed);
      if (slot != 0) grown->Put(slot);
    }
    slots_ = std::move(grown);
  }

  std::shared_ptr<Slots> slots_ = std::make_shared<Slots>(64);  // shared with the snapshots
  size_t used_ = 0;
};

}  // namespace mi::catalog
