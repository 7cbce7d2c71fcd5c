#include "store/sqlite_dictionary.h"

#include <optional>
#include <string>
#include <utility>

#include "base/format.h"
#include "store/dictionary_hash.h"

namespace mi::store {

Result<SqliteDictionary> SqliteDictionary::Open(sqlite::Database& database, const DictionaryTable& table) {
  std::string columns;
  std::string parameters;
  for (const std::string_view column : table.columns) {
    columns += format("{}, ", column);
    parameters += "?, ";
  }
  Result<sqlite::Statement> find = database.Prepare(format("SELECT {}id FROM {} WHERE hash = ?", columns, table.table));
  if (!find) return Fail(find.error());
  Result<sqlite::Statement> insert =
      database.Prepare(format("INSERT INTO {} ({}hash) VALUES ({}?)", table.table, columns, parameters));
  if (!insert) return Fail(insert.error());
  return SqliteDictionary(table, *std::move(find), *std::move(insert), database);
}

Result<int64_t> SqliteDictionary::IdOf(std::string_view key, std::span<const std::string_view> values) {
  if (const std::optional<uint64_t> id = cache_.Find(key)) return static_cast<int64_t>(*id);
  Result<int64_t> id = FindOrInsert(key, values);
  if (id) cache_.Put(key, static_cast<uint64_t>(*id));
  return id;
}

Result<int64_t> SqliteDictionary::FindOrInsert(std::string_view key, std::span<const std::string_view> values) {
  const std::array<char, 16> hash = DictionaryHash(key);
  const std::string_view hash_bytes(hash.data(), hash.size());
  const Result<bool> found = find_.BindBlob(1, hash_bytes).Step();
  if (!found) return Fail(found.error());
  if (*found) {
    bool same = true;
    for (size_t i = 0; i < values.size(); ++i) same = same && find_.Text(static_cast<int>(i)) == values[i];
    const int64_t id = find_.Int(static_cast<int>(values.size()));
    find_.Reset();
    if (same) return id;
    return Fail(Errc::kInvalid, format("row {} of {} has the hash of another text", id, table_.table));
  }
  int parameter = 1;
  for (const std::string_view value : values) insert_.BindText(parameter++, value);
  if (Status s = insert_.BindBlob(parameter, hash_bytes).Run(); !s) return Fail(s.error());
  return database_->last_insert_rowid();
}

}  // namespace mi::store
