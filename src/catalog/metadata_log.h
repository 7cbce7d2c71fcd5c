// The metadata of metric families: for each family of each tenant the latest, by the same rule as in the stores
// (model::MetadataRank).
//
// Threads: one writer. Readers hold the entries that they got, which never change: the writer copies the list of
// pointers before it changes one that is shared. A text is freed with the last list that has it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "catalog/id_table.h"
#include "store/ports.h"

namespace mi::catalog {

class MetadataLog {
 public:
  using Entries = std::vector<std::shared_ptr<const store::StoredMetadata>>;

  // Ignores metadata of a lower rank than what it has. The first change after Share() costs a copy of 16 bytes per
  // family.
  void Add(const store::StoredMetadata& said);

  // The metadata as they are now. For the writer.
  std::shared_ptr<const Entries> Share() {
    is_shared_ = true;
    return entries_;
  }
  size_t bytes() const;

 private:
  // The entries, to be changed.
  Entries& Own();

  std::shared_ptr<Entries> entries_ = std::make_shared<Entries>();  // shared with the snapshots
  bool is_shared_ = false;
  std::vector<int64_t> last_seen_ms_;  // kept apart, since it changes more often than the texts
  IdTable table_;
  size_t text_bytes_ = 0;
};

}  // namespace mi::catalog
