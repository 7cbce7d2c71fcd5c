// The ids of one dictionary table (metric_label_name, metric_label_value, metric_basic_label), a batch at a time: asked
// for in memory, then in the table, then made, in a transaction of their own.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "store/dictionary_tables.h"
#include "store/id_cache.h"
#include "store/mysql_connection.h"

namespace mi::store {

// Threads: confined to one thread.
class MysqlDictionary {
 public:
  explicit MysqlDictionary(const DictionaryTable& table);

  // Asks for the row whose `key` is hashed and whose columns hold `values`; gives the slot where its id will be.
  // `values` are borrowed until Discard().
  size_t Want(std::string_view key, std::span<const std::string_view> values);
  // Finds or makes what is wanted, and commits it. Requires: no transaction is open on the connection. Fails with a
  // conflict when another writer made one of the rows meanwhile: the next call finds it.
  Status Resolve(MysqlConnection& connection);
  // 0: the hash is another text's (SHA-256 found its first collision, or somebody wrote into the table).
  uint64_t IdAt(size_t slot) const { return wanted_[slot].id; }
  // What was committed is remembered.
  void Remember();
  // Ends the batch, also one that an exception has cut short: nothing is borrowed any more.
  void Discard() noexcept;

  // The database may be another one by now.
  void ForgetAll() { cache_.Clear(); }

 private:
  struct Wanted {
    std::string key;
    std::array<char, 16> hash;
    std::array<std::string_view, 4> values;
    uint64_t id = 0;
    bool is_settled = false;  // by an id, or by a row that is another text's
  };

  // `lock` follows the SELECT.
  Status Find(MysqlConnection& connection, std::span<Wanted* const> missing, std::string_view lock);
  Status Insert(MysqlConnection& connection, std::span<Wanted* const> missing);

  DictionaryTable table_;
  std::string into_;
  IdCache cache_;
  std::deque<Wanted> wanted_;  // slots keep their address
  std::unordered_map<std::string_view, size_t> slots_;
};

}  // namespace mi::store
