// Which rows of `metric` may have a fingerprint: from memory, so that SQLite needs no index over random keys
// (docs/adr/0018-no-random-index-in-sqlite.md). The store fills it from the table, and compares the row that it names.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "model/fingerprint.h"

namespace mi::store {

// 10 to 13 bytes per fingerprint. Threads: compatible.
class FingerprintIndex {
 public:
  static constexpr uint64_t kMaxId = UINT32_MAX;

  // Requires: 0 < id <= kMaxId.
  void Add(const model::Fingerprint& fingerprint, uint64_t id);
  void Clear() { shards_ = {}; }

  // Calls `visit(id)`, a Result<bool>, for each row that may have the fingerprint, until one returns true. Returns
  // whether one did. About one in a hundred thousand look-ups visits the row of another fingerprint.
  template <typename Visit>
  Result<bool> Find(const model::Fingerprint& fingerprint, Visit visit) const {
    const Shard& shard = shards_[ShardOf(fingerprint)];
    if (shard.entries.empty()) return false;
    const uint32_t tag = TagOf(fingerprint);
    for (size_t at = shard.Home(tag); shard.entries[at].id != 0; at = shard.After(at)) {
      if (shard.entries[at].tag != tag) continue;
      const bool found = TRY(visit(uint64_t{shard.entries[at].id}));
      if (found) return true;
    }
    return false;
  }

  // Begins to load the memory that Find() will read.
  void Prefetch(const model::Fingerprint& fingerprint) const {
    const Shard& shard = shards_[ShardOf(fingerprint)];
    if (!shard.entries.empty()) __builtin_prefetch(&shard.entries[shard.Home(TagOf(fingerprint))]);
  }

  size_t size() const;
  size_t bytes() const;

 private:
  struct Entry {
    uint32_t tag = 0;
    uint32_t id = 0;  // 0: the entry is free
  };
  // The first byte of a fingerprint selects the shard, and the next four bytes are the tag.
  struct Shard {
    std::vector<Entry> entries;
    size_t used = 0;

    size_t Home(uint32_t tag) const { return static_cast<size_t>((uint64_t{tag} * entries.size()) >> 32); }
    size_t After(size_t at) const { return at + 1 == entries.size() ? 0 : at + 1; }
    void Put(Entry entry);
    void Grow();
  };
  static size_t ShardOf(const model::Fingerprint& fingerprint) { return fingerprint.hi >> 56; }
  static uint32_t TagOf(const model::Fingerprint& fingerprint) { return static_cast<uint32_t>(fingerprint.hi >> 24); }

  std::array<Shard, 256> shards_;
};

}  // namespace mi::store
