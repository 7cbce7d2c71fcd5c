// Reads the series of a set one after another, and never holds more than 65,536 of their ordinals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "catalog/catalog.h"
#include "model/fingerprint.h"
#include "query/bounds.h"

namespace mi::query {

// Merges the tenants: a label set that several tenants have is returned once. Only sets that span tenants pay for that,
// with kBytesPerMerged for each label set returned.
//
// Ownership: holds the snapshot. Threads: confined to one at a time.
class SeriesReader {
 public:
  static constexpr uint64_t kBytesPerMerged = 48;

  // Returns at most `limit` label sets; 0 is all of them.
  SeriesReader(std::shared_ptr<const catalog::Snapshot> snapshot, catalog::SeriesSet set, size_t limit);

  // The next series, in the order of the catalogue; null after the last, or if the bounds are exceeded. Valid until the
  // next call.
  const catalog::SeriesView* Next();
  // From now on; null: none. Borrowed.
  void SetBounds(Bounds* bounds) { bounds_ = bounds; }
  // What it holds at most until its end, without the snapshot and the set.
  uint64_t max_bytes() const;
  // Whether there were more label sets than the limit. Known once Next() has returned null.
  bool cut() const { return cut_; }

 private:
  bool ReadNextNew();
  bool FetchOrdinals();
  bool SpansTenants();

  std::shared_ptr<const catalog::Snapshot> snapshot_;
  catalog::SeriesSet set_;
  const size_t limit_;
  size_t returned_ = 0;
  bool cut_ = false;
  Bounds* bounds_ = nullptr;

  std::vector<catalog::Ordinal> ordinals_;  // the next ones
  size_t at_ = 0;                           // in ordinals_
  uint64_t next_ordinal_ = 0;               // the first one behind ordinals_
  catalog::SeriesView series_;

  const bool merges_;
  const model::Fingerprinter fingerprinter_;
  std::string canonical_;
  std::unordered_set<model::Fingerprint> known_;  // of the label sets returned, if merges_
};

}  // namespace mi::query
