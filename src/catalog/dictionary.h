// Label names and (name, value) pairs. Each is stored once and gets the next number.
//
// Two names are reserved, and no look-up by text finds them. The values of kTenants are the tenants. The values of
// kShapes are sets of label names with their tenant (interner.h); these pairs have postings like others.
//
// Threads: one writer. Readers hold a View and see, without locks, what there was when it was made.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/varint.h"
#include "catalog/append_only.h"
#include "catalog/id_table.h"
#include "catalog/snapshot.h"

namespace mi::catalog {

using NameId = uint32_t;
inline constexpr NameId kTenants = 0;
inline constexpr NameId kShapes = 1;
inline constexpr NameId kReservedNames = 2;
inline constexpr PairId kNoPair = UINT32_MAX;

struct Name {
  std::string_view text;
  std::atomic<PairId> newest{kNoPair};  // of its pairs: the head of a chain over Pair::older
};

struct Pair {
  const uint8_t* value;  // the text, behind its length
  NameId name;
  PairId older;  // of the same name
  // The series that have it: see postings.h.
  std::atomic<const uint8_t*> sealed{nullptr};
  std::atomic<uint64_t> tail{0};
};

// A text that is stored behind its length.
inline std::string_view GetText(const uint8_t* at) {
  const auto size = static_cast<size_t>(TakeVarint(at));
  return {reinterpret_cast<const char*>(at), size};
}

class Dictionary {
 public:
  Dictionary();

  // For the writer. The caller makes sure that pair_count() stays below kNoPair.
  NameId InternName(std::string_view name);
  PairId InternPair(NameId name, std::string_view value);
  PairId pair_count() const { return static_cast<PairId>(pairs_.size()); }
  PairId label_pair_count() const { return pair_count() - reserved_pairs_; }  // without tenants and shapes
  Pair& pair(PairId id) { return pairs_[id]; }
  const Pair& pair(PairId id) const { return pairs_[id]; }
  const Name& name(NameId id) const { return names_[id]; }
  std::string_view Value(PairId id) const { return GetText(pairs_[id].value); }
  size_t bytes() const;

  // The dictionary as it was at one moment. Valid as long as the dictionary.
  class View {
   public:
    explicit View(const Dictionary& dictionary);

    NameId name_count() const { return name_count_; }
    PairId pair_count() const { return pair_count_; }
    const Pair& pair(PairId id) const { return dictionary_->pairs_[id]; }
    const Name& name(NameId id) const { return dictionary_->names_[id]; }
    std::string_view Value(PairId id) const { return dictionary_->Value(id); }
    std::optional<NameId> FindName(std::string_view name) const;
    std::optional<PairId> FindPair(NameId name, std::string_view value) const;

    // Visits the newest first. visit(PairId) returns false to end it.
    template <typename Visit>
    void ForEachPair(NameId name, Visit visit) const {
      PairId id = dictionary_->names_[name].newest.load(std::memory_order_acquire);
      for (; id != kNoPair; id = pair(id).older) {
        if (id < pair_count_ && !visit(id)) return;
      }
    }

   private:
    const Dictionary* dictionary_;
    std::shared_ptr<const IdTable::Slots> name_slots_;
    std::shared_ptr<const IdTable::Slots> pair_slots_;
    NameId name_count_;
    PairId pair_count_;
  };

 private:
  uint64_t HashName(std::string_view name) const { return HashText(name, seed_); }
  uint64_t HashPair(NameId name, std::string_view value) const {
    return HashText(value, seed_ + (uint64_t{name} + 1) * 0x9e3779b97f4a7c15);
  }
  const uint8_t* StoreText(std::string_view text);
  NameId AddName(std::string_view name);

  const uint64_t seed_;
  ByteArena texts_;
  StableArray<Name, 256> names_;
  StableArray<Pair> pairs_;
  IdTable name_table_;
  IdTable pair_table_;
  PairId reserved_pairs_ = 0;
};

}  // namespace mi::catalog
