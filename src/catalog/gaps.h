// The ids between series that were read. They belong to transactions that were still open, which commit later or never.
// The follower asks for them again until it finds them, or until they are older than any transaction can be.
//
// They are kept as ranges: a transaction takes its ids in a block of up to ten thousand, so there is about one range
// per open transaction.
//
// Threads: confined to one.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "store/ports.h"

namespace mi::catalog {

class Gaps {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Keeps at most `max_ranges`, those with the highest ids. The lowest are the least likely to be filled.
  explicit Gaps(size_t max_ranges) : max_ranges_(max_ranges) {}

  // Requires: ranges are ascending, and above all that were added before.
  void Add(std::span<const store::IdRange> skipped, Time now);
  // Removes ids that were found. A run in the middle of a range leaves two ranges.
  void Found(std::span<const store::IdRange> runs);
  // Removes ranges that were added before `time`.
  void DropOlderThan(Time time);

  std::vector<store::IdRange> Ranges() const;  // ascending; none touches another
  bool empty() const { return ranges_.empty(); }

 private:
  struct Rest {
    uint64_t last;
    Time added;
  };

  void Remove(const store::IdRange& run);
  void ForgetLowest();

  const size_t max_ranges_;
  std::map<uint64_t, Rest> ranges_;  // by their first id
};

}  // namespace mi::catalog
