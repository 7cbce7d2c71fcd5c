// Reads the series of a set one after another, without ever holding more than a few thousand of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "catalog/catalog.h"
#include "model/fingerprint.h"

namespace mi::query {

// A label set that several tenants have comes once: answers over tenants are merged. Only sets of more than one tenant
// pay for that, with a fingerprint a series that was read.
//
// Ownership: holds the snapshot. Threads: confined to one at a time.
class SeriesReader {
 public:
  // At most `limit` label sets; 0 is all of them.
  SeriesReader(std::shared_ptr<const catalog::Snapshot> snapshot, catalog::SeriesSet set, size_t limit);

  // In the order in which the catalogue met them. Valid until the next call; null behind the last.
  const catalog::SeriesView* Next();
  // Known once Next() gave null: there were more than the limit.
  bool cut() const { return cut_; }

 private:
  bool ReadNextNew();
  bool FetchOrdinals();
  bool SpansTenants();

  std::shared_ptr<const catalog::Snapshot> snapshot_;
  catalog::SeriesSet set_;
  const size_t limit_;
  size_t given_ = 0;
  bool cut_ = false;

  uint64_t next_ordinal_ = 0;
  std::vector<catalog::Ordinal> ordinals_;  // the next ones
  size_t at_ = 0;                           // in ordinals_
  catalog::SeriesView series_;

  const bool merges_;
  const model::Fingerprinter fingerprinter_;
  std::string canonical_;
  std::unordered_set<model::Fingerprint> met_;
};

}  // namespace mi::query
