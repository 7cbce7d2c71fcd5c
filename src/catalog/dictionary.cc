#include "catalog/dictionary.h"

#include <cstring>

namespace mi::catalog {
Dictionary::Dictionary() : seed_(DrawSeed()) {
  for (NameId reserved = 0; reserved < kReservedNames; ++reserved) AddName("");
}

const uint8_t* Dictionary::StoreText(std::string_view text) {
  uint8_t* at = texts_.Allocate(VarintSize(text.size()) + text.size());
  uint8_t* body = PutVarint(text.size(), at);
  if (!text.empty()) std::memcpy(body, text.data(), text.size());
  return at;
}

NameId Dictionary::AddName(std::string_view name) {
  const auto id = static_cast<NameId>(names_.size());
  names_.Append().text = GetText(StoreText(name));
  return id;
}

NameId Dictionary::InternName(std::string_view name) {
  const uint64_t hash = HashName(name);
  if (auto known = name_table_.Find(hash, [&](NameId id) { return names_[id].text == name; })) return *known;
  const NameId id = AddName(name);
  name_table_.Insert(hash, id);
  return id;
}

// A new pair becomes reachable in this order:
//
//   1. its fields    2. head of the name's chain (release)    3. slot of the hash table (relaxed)    4. snapshot
//
// A reader on the chain loads the head with acquire (2), so it finds complete fields (1) in every pair behind the head.
// A reader of the table may meet a slot (3) before it may see the fields. Therefore it compares the id with its own
// pair_count first, and all pairs below that were complete before the snapshot was published (4). No look-up takes a
// lock. A pair costs 32 bytes, its text, and 10 to 15 bytes of the table.
PairId Dictionary::InternPair(NameId name, std::string_view value) {
  const uint64_t hash = HashPair(name, value);
  auto matches = [&](PairId id) { return pairs_[id].name == name && Value(id) == value; };
  if (auto known = pair_table_.Find(hash, matches)) return *known;
  const auto id = static_cast<PairId>(pairs_.size());
  Pair& pair = pairs_.Append();
  pair.value = StoreText(value);
  pair.name = name;
  pair.older = names_[name].newest.load(std::memory_order_relaxed);
  names_[name].newest.store(id, std::memory_order_release);
  pair_table_.Insert(hash, id);
  if (name < kReservedNames) ++reserved_pairs_;
  return id;
}

size_t Dictionary::bytes() const {
  return texts_.bytes() + names_.bytes() + pairs_.bytes() + name_table_.bytes() + pair_table_.bytes();
}

Dictionary::View::View(const Dictionary& dictionary)
    : dictionary_(&dictionary),
      name_slots_(dictionary.name_table_.slots()),
      pair_slots_(dictionary.pair_table_.slots()),
      name_count_(static_cast<NameId>(dictionary.names_.size())),
      pair_count_(dictionary.pair_count()) {}

std::optional<NameId> Dictionary::View::FindName(std::string_view wanted) const {
  return name_slots_->Find(dictionary_->HashName(wanted),
                           [&](NameId id) { return id < name_count_ && name(id).text == wanted; });
}

std::optional<PairId> Dictionary::View::FindPair(NameId name, std::string_view value) const {
  return pair_slots_->Find(dictionary_->HashPair(name, value),
                           [&](PairId id) { return id < pair_count_ && pair(id).name == name && Value(id) == value; });
}

}  // namespace mi::catalog
