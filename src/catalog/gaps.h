// The ids that a reading passed over: transactions that were under way commit late, or never. Each is asked for again
// until it is found, or older than any transaction can be.
//
// Kept as ranges: a transaction takes its ids in a block of up to ten thousand, and what several writers have open at a
// time is so many blocks.
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

  // Remembers the newest `most` ranges: the older ones are the likelier to be dead.
  explicit Gaps(size_t most) : most_(most) {}

  // Requires: ranges ascending, above all that were added before.
  void Add(std::span<const store::IdRange> skipped, Time now);
  // What is found in the middle of a range leaves two.
  void Found(std::span<const store::IdRange> runs);
  // Those that were added before it were rolled back.
  void DropOlderThan(Time time);
  void Clear() { ranges_.clear(); }

  std::vector<store::IdRange> Ranges() const;  // ascending, none touches another
  bool empty() const { return ranges_.empty(); }

 private:
  struct Rest {
    uint64_t last;
    Time noticed;
  };

  void Remove(const store::IdRange& run);
  void ForgetTheLowest();

  const size_t most_;
  std::map<uint64_t, Rest> ranges_;  // by their first id
};

}  // namespace mi::catalog
