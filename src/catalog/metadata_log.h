// The metadata of metric families: for each family of each tenant the texts that were said lately, by the same rule as
// in the stores (store/metadata_plan.h). Of these, a text is shown until it has been silent for its lifetime while
// another text of its family was said: so an old help text goes some time after its last target.
//
// Threads: one writer. Readers hold the entries that they got, which never change: the writer copies the list of
// pointers before it changes one that is shared. A text is freed with the last list that has it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "catalog/id_table.h"
#include "store/ports.h"

namespace mi::catalog {

class MetadataLog {
 public:
  // The texts of one family, at least one, the latest first. Their last_seen_ms is not kept up to date.
  using Family = std::vector<store::StoredMetadata>;
  using Entries = std::vector<std::shared_ptr<const Family>>;

  explicit MetadataLog(std::chrono::milliseconds text_lifetime) : text_lifetime_ms_(text_lifetime.count()) {}

  // Ignores what changes nothing. The first change after Share() costs a copy of 16 bytes per family.
  void Add(const store::StoredMetadata& said);

  // The metadata as they are now. For the writer.
  std::shared_ptr<const Entries> Share() {
    is_shared_ = true;
    return entries_;
  }
  size_t bytes() const;

 private:
  uint64_t Hash(const store::StoredMetadata& said) const;
  void Replace(uint32_t id, Family texts);
  // The entries, to be changed.
  Entries& Own();

  const int64_t text_lifetime_ms_;
  const uint64_t seed_ = DrawSeed();
  std::shared_ptr<Entries> entries_ = std::make_shared<Entries>();  // shared with the snapshots
  bool is_shared_ = false;
  // By family, for each text. Kept apart, since times change more often than texts.
  std::vector<std::vector<int64_t>> last_seen_ms_;
  IdTable table_;
  size_t text_bytes_ = 0;
};

}  // namespace mi::catalog
