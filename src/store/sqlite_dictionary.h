// The ids of one dictionary table (metric_label_name, metric_label_value, metric_basic_label): asked for in memory,
// then in the table, then made.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "sqlite/database.h"
#include "store/dictionary_tables.h"
#include "store/id_cache.h"

namespace mi::store {

// Threads: confined to one thread. Must not outlive the database.
class SqliteDictionary {
 public:
  static Result<SqliteDictionary> Open(sqlite::Database& database, const DictionaryTable& table);

  // Requires: inside a transaction. `key` is what is hashed; `values` stand in the columns.
  // kInvalid: the hash is another text's (SHA-256 found its first collision, or somebody wrote into the table).
  Result<int64_t> IdOf(std::string_view key, std::span<const std::string_view> values);

  // The transaction was rolled back: the ids that it made are void.
  void ForgetAll() { cache_.Clear(); }

 private:
  SqliteDictionary(const DictionaryTable& table, sqlite::Statement find, sqlite::Statement insert,
                   sqlite::Database& database)
      : table_(table),
        database_(&database),
        find_(std::move(find)),
        insert_(std::move(insert)),
        cache_(table.cache_bytes) {}
  Result<int64_t> FindOrInsert(std::string_view key, std::span<const std::string_view> values);

  DictionaryTable table_;
  sqlite::Database* database_;
  sqlite::Statement find_;
  sqlite::Statement insert_;
  IdCache cache_;
};

}  // namespace mi::store
