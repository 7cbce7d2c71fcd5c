// Hash → dense ids, open addressing. The keys live elsewhere: whoever looks up brings the comparison.
//
// Threads: one writer; readers search a Slots that they hold. The writer goes on filling the same slots, so a reader
// passes over ids that are newer than what it may look at. A grown table is a new Slots; the old one lives as long as
// somebody holds it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace mi::catalog {

class IdTable {
 public:
  class Slots {
   public:
    explicit Slots(size_t capacity)
        : capacity_(capacity), slots_(std::make_unique<std::atomic<uint64_t>[]>(capacity)) {}

    // The first id under `hash` of which `matches` says true.
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
    // Any capacity will do, not only powers of two: the tag as a fraction of the whole.
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

  // Requires: id < 2^32 - 1. Growth is by half, at 80 % full: 53 to 80 % of the slots are in use.
  void Insert(uint64_t hash, uint32_t id) {
    if ((used_ + 1) * 5 > slots_->capacity_ * 4) Grow();
    slots_->Put(hash >> 32 << 32 | (uint64_t{id} + 1));
    ++used_;
  }

  std::shared_ptr<const Slots> slots() const { return slots_; }
  size_t bytes() const { return slots_->capacity_ * sizeof(uint64_t); }

 private:
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
