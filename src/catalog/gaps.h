// The ids that a reading passed over: transactions that were under way commit late, or never. Each is asked for again
// until it is found, or older than any transaction can be.
//
// Threads: confined to one.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace mi::catalog {

// Ids from `first` to `last`, both in it.
struct IdRange {
  uint64_t first;
  uint64_t last;
  friend bool operator==(const IdRange&, const IdRange&) = default;
};

class Gaps {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Remembers the newest `most` ids: the older ones are the likelier to be dead.
  explicit Gaps(size_t most) : most_(most) {}

  void Add(std::span<const IdRange> skipped, Time now);
  void Found(std::span<const uint64_t> ids);
  // Those that were added before it were rolled back.
  void DropOlderThan(Time time);
  void Clear() { ids_.clear(); }

  std::vector<uint64_t> Ids() const;  // ascending
  bool empty() const { return ids_.empty(); }

 private:
  const size_t most_;
  std::map<uint64_t, Time> ids_;
};

}  // namespace mi::catalog
