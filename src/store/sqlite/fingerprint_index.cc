#include "store/sqlite/fingerprint_index.h"

#include <utility>

namespace mi::store {

// Open addressing with linear probing. A tag is scaled to the size of its shard:
//
//   home = tag * entries / 2^32
//
// So a shard may have any size and can grow by a quarter, and growing needs only the tags. It copies one shard, a 256th
// of the table, so no call waits for long and the memory beside the table is small. At most four of five entries are
// in use, hence 10 bytes per fingerprint, and 12.5 after a growth.
void FingerprintIndex::Add(const model::Fingerprint& fingerprint, uint64_t id) {
  assert(id > 0 && id <= kMaxId);
  Shard& shard = shards_[ShardOf(fingerprint)];
  if (5 * (shard.used + 1) > 4 * shard.entries.size()) shard.Grow();
  shard.Put({TagOf(fingerprint), static_cast<uint32_t>(id)});
  ++shard.used;
}

void FingerprintIndex::Shard::Put(Entry entry) {
  size_t at = Home(entry.tag);
  while (entries[at].id != 0) at = After(at);
  entries[at] = entry;
}

void FingerprintIndex::Shard::Grow() {
  const size_t size = entries.size() + entries.size() / 4 + 8;
  const std::vector<Entry> before = std::exchange(entries, std::vector<Entry>(size));
  for (const Entry& entry : before) {
    if (entry.id != 0) Put(entry);
  }
}

size_t FingerprintIndex::size() const {
  size_t size = 0;
  for (const Shard& shard : shards_) size += shard.used;
  return size;
}

size_t FingerprintIndex::bytes() const {
  size_t bytes = sizeof *this;
  for (const Shard& shard : shards_) bytes += shard.entries.capacity() * sizeof(Entry);
  return bytes;
}

}  // namespace mi::store
