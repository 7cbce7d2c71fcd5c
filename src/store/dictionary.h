// The ids of dictionary rows (docs/formats/sql.md): label names, label values, and the basic labels of a series. A
// store has one Dictionary per table and works with it in four steps:
//
//   1. Want() each text of the new series           finds the ids that are in memory, collects the others
//   2. Missing() → look up the rows by their hash   the store's SQL; Settle() each row that is found
//   3. Missing() → insert the rest                  the store's SQL; Settle() each with its new id
//   4. IdAt(slot); Remember() after the commit, Discard() in any case
#pragma once

#include <array>
#include <cassert>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "store/id_cache.h"

namespace mi::store {

using Hash16 = std::array<char, 16>;

// The key of a dictionary row: the first 16 bytes of SHA-256. People can compute it in any SQL dialect and shell:
// UNHEX(LEFT(SHA2(x, 256), 32)).
Hash16 DictionaryHash(std::string_view bytes);

// A hash or fingerprint as text. It compares by unsigned bytes, as databases do.
inline std::string_view View(const Hash16& bytes) { return {bytes.data(), bytes.size()}; }

// Appends "<size>:<text>,". Two different lists of texts never give the same key.
inline void AppendNetstring(std::string_view text, std::string& key) {
  std::array<char, 20> digits;
  key.append(digits.data(), std::to_chars(digits.begin(), digits.end(), text.size()).ptr);
  key.push_back(':');
  key.append(text).push_back(',');
}

struct DictionaryTable {
  std::string_view name;
  std::span<const std::string_view> columns;  // besides id and hash; at most kMaxColumns
  static constexpr size_t kMaxColumns = 4;
};

// Threads: confined to one thread.
class Dictionary {
 public:
  // A row that the current call needs.
  struct Wanted {
    std::string key;  // its hash is the row's key
    Hash16 hash;
    std::array<std::string_view, DictionaryTable::kMaxColumns> values;  // of the columns; borrowed
    uint64_t id = 0;                                                    // 0: not settled, or refused
    bool settled = false;

    // The table has a row with this hash. If its values are others, the wanted text is refused: either SHA-256 has its
    // first collision, or somebody wrote into the table.
    void Settle(uint64_t row_id, bool same_values) {
      id = same_values ? row_id : 0;
      settled = true;
    }
  };

  Dictionary(const DictionaryTable& table, size_t cache_bytes) : table_(table), cache_(cache_bytes) {}

  const DictionaryTable& table() const { return table_; }

  // Asks for the row of `values`, whose key is `key`. Returns the slot of its id. `values` are borrowed until
  // Discard(). Requires: values.size() == table().columns.size().
  size_t Want(std::string_view key, std::span<const std::string_view> values);

  // The wanted rows that are not settled, by hash. All processes use this order, so whoever comes second waits for the
  // first, and two never wait for each other.
  std::vector<Wanted*> Missing();

  // 0 if the text was refused. Requires: it is settled.
  uint64_t IdAt(size_t slot) const {
    assert(wanted_[slot].settled);
    return wanted_[slot].id;
  }

  // Whether any wanted text was refused. Requires: all are settled.
  bool HasRefused() const;

  // Keeps the ids in memory. Requires: their rows are committed.
  void Remember();
  // Ends the call: forgets what was wanted, and borrows nothing any more.
  void Discard();
  // Releases the memory.
  void Forget() { cache_.Clear(); }

 private:
  DictionaryTable table_;
  IdCache cache_;
  std::deque<Wanted> wanted_;  // a deque, so that entries keep their addresses
  std::unordered_map<std::string_view, size_t> slots_;
};

// The dictionaries of a store.
struct Dictionaries {
  // `cache_bytes` for all three; most of it is for the values.
  explicit Dictionaries(uint64_t cache_bytes);

  std::array<Dictionary*, 3> all() { return {&names, &values, &basic_labels}; }
  bool HasRefused() const { return names.HasRefused() || values.HasRefused() || basic_labels.HasRefused(); }
  void Remember();
  void Discard();
  void Forget();

  Dictionary names;
  Dictionary values;
  Dictionary basic_labels;
};

}  // namespace mi::store
