#include "store/mysql_dictionary.h"

#include <algorithm>
#include <utility>

#include "base/format.h"
#include "store/dictionary_hash.h"
#include "store/mysql_select_in.h"

namespace mi::store {
namespace {

constexpr int kMostConflicts = 20;  // each means that another writer got on

}  // namespace

MysqlDictionary::MysqlDictionary(const DictionaryTable& table) : table_(table), cache_(table.cache_bytes) {
  into_ = format("{} (id, ", table.table);
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
  for (int conflicts = 0;; ++conflicts) {
    std::vector<Wanted*> fresh = missing();
    if (fresh.empty()) return {};
    const uint64_t faults = connection.faults();
    Status inserted = Insert(connection, fresh);
    if (inserted) return {};
    const bool conflict = connection.faults() != faults && connection.last_fault() == MysqlFault::kConflict;
    if (!conflict || conflicts == kMostConflicts) return inserted;
    // Another writer made some of them. MariaDB shows a plain read what another transaction committed a moment after
    // that transaction's locks are gone; a locking read sees it.
    if (Status found = Find(connection, fresh, "LOCK IN SHARE MODE"); !found) return found;
  }
}

Status MysqlDictionary::Find(MysqlConnection& connection, std::span<Wanted* const> missing, std::string_view lock) {
  if (missing.empty()) return {};
  std::unordered_map<std::string_view, Wanted*> by_hash;
  for (Wanted* wanted : missing) by_hash.emplace(View(wanted->hash), wanted);
  std::string before = "SELECT id, hash";
  for (const std::string_view column : table_.columns) before += format(", {}", column);
  before += format(" FROM {} FORCE INDEX (hash) WHERE hash IN", table_.table);
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

// Ids of our own, and no ON DUPLICATE KEY: with AUTO_INCREMENT and that, MariaDB 10.11 left rows out without a word
// when four writers made the same ones.
Status MysqlDictionary::Insert(MysqlConnection& connection, std::span<Wanted* const> missing) {
  const Result<uint64_t> first = TakeMysqlIds(connection, table_.table, missing.size());
  if (!first) return Fail(first.error());
  MysqlRows rows("n" + std::string(table_.columns.size() + 1, 't'));
  uint64_t id = *first;
  for (const Wanted* wanted : missing) {
    rows.Number(id++);
    for (size_t i = 0; i < table_.columns.size(); ++i) rows.Text(wanted->values[i]);
    rows.Text(View(wanted->hash));
  }
  Result<MysqlTransaction> transaction = MysqlTransaction::Begin(connection);
  if (!transaction) return Fail(transaction.error());
  if (Status done = connection.Insert(into_, rows); !done) return done;
  if (Status done = transaction->Commit(); !done) return done;
  id = *first;
  for (Wanted* wanted : missing) {
    wanted->id = id++;
    wanted->is_settled = true;
  }
  return {};
}

void MysqlDictionary::Remember() {
  for (const Wanted& wanted : wanted_) {
    if (wanted.id != 0) cache_.Put(wanted.key, wanted.id);
  }
}

void MysqlDictionary::Discard() noexcept {
  slots_.clear();
  wanted_.clear();
}

}  // namespace mi::store
