#include "store/mysql_dictionary.h"

#include <algorithm>
#include <utility>

#include "base/format.h"
#include "store/mysql_select_in.h"
#include "store/sha256.h"

namespace mi::store {
namespace {

std::string_view View(const std::array<char, 16>& bytes) { return {bytes.data(), bytes.size()}; }

}  // namespace

MysqlDictionary::MysqlDictionary(const MysqlDictionaryTable& table) : table_(table), cache_(table.cache_bytes) {
  into_ = format("{} (", table.table);
  for (const std::string_view column : table.columns) into_ += format("{}, ", column);
  into_ += "hash)";
}

size_t MysqlDictionary::Want(std::string_view key, std::span<const std::string_view> values) {
  if (const auto known = slots_.find(key); known != slots_.end()) return known->second;
  const size_t slot = wanted_.size();
  Wanted& wanted = wanted_.emplace_back();
  wanted.key = key;
  std::ranges::copy(values, wanted.values.begin());
  if (const std::optional<uint64_t> id = cache_.Find(key)) {
    wanted.id = *id;
    wanted.is_settled = true;
  } else {
    wanted.hash = DictionaryHash(key);
  }
  slots_.emplace(wanted.key, slot);
  return slot;
}

Status MysqlDictionary::Resolve(MysqlConnection& connection) {
  const auto missing = [this] {
    std::vector<Wanted*> all;
    for (Wanted& wanted : wanted_) {
      if (!wanted.is_settled) all.push_back(&wanted);
    }
    // The same order in every process: whoever comes second waits, and nobody waits for each other.
    std::ranges::sort(all, {}, [](const Wanted* wanted) { return View(wanted->hash); });
    return all;
  };
  if (Status found = Find(connection, missing(), ""); !found) return found;
  std::vector<Wanted*> fresh = missing();
  if (fresh.empty()) return {};
  if (Status inserted = Insert(connection, fresh); !inserted) return inserted;
  // A locking read. MariaDB shows a plain one what another transaction committed a moment after that transaction's
  // locks are gone, so that a row which our INSERT met need not be there yet.
  if (Status found = Find(connection, fresh, "LOCK IN SHARE MODE"); !found) return found;
  if (missing().empty()) return {};
  return Fail(Errc::kUnavailable, format("{}: rows that were just written are not there", table_.table));
}

Status MysqlDictionary::Find(MysqlConnection& connection, std::span<Wanted* const> missing, std::string_view lock) {
  if (missing.empty()) return {};
  std::unordered_map<std::string_view, Wanted*> by_hash;
  for (Wanted* wanted : missing) by_hash.emplace(View(wanted->hash), wanted);
  std::string before = "SELECT id, hash";
  for (const std::string_view column : table_.columns) before += format(", {}", column);
  before += format(" FROM {} WHERE hash IN", table_.table);
  return SelectIn(
      connection, before, lock, missing.size(),
      [&](size_t i, MysqlStatement& select) { select.BindText(View(missing[i]->hash)); },
      [&](const MysqlStatement& row) -> Status {
        const auto found = by_hash.find(row.Text(1));
        if (found == by_hash.end()) return {};
        Wanted& wanted = *found->second;
        bool same = true;
        for (size_t i = 0; i < table_.columns.size(); ++i) same = same && row.Text(i + 2) == wanted.values[i];
        wanted.id = same ? row.Number(0) : 0;
        wanted.is_settled = true;
        return {};
      });
}

Status MysqlDictionary::Insert(MysqlConnection& connection, std::span<Wanted* const> missing) {
  MysqlRows rows(std::string(table_.columns.size() + 1, 't'));
  for (const Wanted* wanted : missing) {
    for (size_t i = 0; i < table_.columns.size(); ++i) rows.Text(wanted->values[i]);
    rows.Text(View(wanted->hash));
  }
  Result<MysqlTransaction> transaction = MysqlTransaction::Begin(connection);
  if (!transaction) return Fail(transaction.error());
  // Another process may have made a row since we asked.
  if (Status done = connection.Insert(into_, rows, "ON DUPLICATE KEY UPDATE id = id"); !done) return done;
  return transaction->Commit();
}

void MysqlDictionary::EndBatch() {
  for (const Wanted& wanted : wanted_) {
    if (wanted.id != 0) cache_.Put(wanted.key, wanted.id);
  }
  slots_.clear();
  wanted_.clear();
}

}  // namespace mi::store
