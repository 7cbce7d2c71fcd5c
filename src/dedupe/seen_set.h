// Remembers which series are already durable, so that each one is published only once.
//
// Two tables. The table of series holds fingerprints, each with two one-byte clocks: when the series was last active,
// and when the shared tier last confirmed it. The table of aliases holds local hashes (model/local_hash.h) of the bytes
// by which senders named series of the first table, each with the time until which it may answer for it. Nearly every
// look-up ends there (docs/adr/0017). line_table.h says how the tables grow.
//
// Threads: safe. Lookup takes no lock and never waits, also while a table grows. Insert locks a shard for microseconds,
//          never across I/O.
// Ownership: copies fingerprints; keeps no reference to the caller's memory. The clock outlives it.
// Errors: none. An insert is refused and counted when `max_series` is reached. The caller publishes the series again
//         later: a duplicate is cheap, a lost series is not.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"
#include "dedupe/line_table.h"
#include "dedupe/options.h"
#include "model/fingerprint.h"
#include "model/local_hash.h"

namespace mi::dedupe {

enum class Seen : uint8_t {
  kUnknown,         // not known to be durable
  kKnown,           // durable
  kKnownNewWindow,  // durable, and this is its first activity in its window: put it on the activity stream
  // Durable, but confirmed long ago: ask the shared tier again, in the background. Answered to one caller, at an age
  // between 75 % and 100 % of confirm_after that depends on the key, and again only after that time has passed once
  // more. So an answer that got lost is repeated.
  kKnownConfirm,
};

enum class Touch : uint8_t {
  kActive,  // samples: moves the activity clock
  kStale,   // only stale markers: not an activity
};

// A copy of the entries of one shard, for the snapshot. The activity clocks are as of `at_s`.
struct SeenEntries {
  std::vector<uint64_t> keys;
  std::vector<uint8_t> active;
  int64_t at_s = 0;
};

class SeenSet {
 public:
  SeenSet(const SeenOptions& options, const Clock& clock);

  // One answer per fingerprint, in order. Requires: the three spans have the same size.
  void Lookup(std::span<const model::Fingerprint> fingerprints, std::span<const Touch> touches,
              std::span<Seen> answers);
  bool Contains(model::Fingerprint fingerprint);  // not an activity

  // Marks series durable, and active now or at `last_seen_ms`. Idempotent. Returns how many of them are in the table
  // afterwards, new or not: fewer than all only if the table is full.
  size_t Insert(std::span<const model::Fingerprint> fingerprints);
  size_t Insert(model::Fingerprint fingerprint, int64_t last_seen_ms);

  // These series are not durable after all, because stored bytes were damaged or lost: from now on they are unknown
  // until they are inserted again. Also forgets every alias, since an alias does not say which series it stands for.
  void Forget(std::span<const model::Fingerprint> fingerprints);

  // The shared tier has confirmed these series. Not an activity. Ignores unknown ones.
  void Confirm(std::span<const model::Fingerprint> fingerprints);

  // The key of the hashes that are aliases of this table. Lives as long as the table.
  const model::LocalHashKey& alias_key() const { return alias_key_; }

  // An alias is the local hash of one encoding of a known series. It answers until Lookup would answer anything else
  // than kKnown for that series: until its activity window ends, or its confirmation is due. Then the fingerprint must
  // be looked up again. Appends the indices of those that are no alias now. Changes nothing in the tables.
  void FindUnknown(std::span<const model::Fingerprint> aliases, std::vector<uint32_t>& unknown);

  struct Alias {
    model::Fingerprint alias;
    model::Fingerprint series;
  };
  // Remembers aliases of series for which Lookup has answered an activity. Ignores series that are not in the table, so
  // a forgotten series gets none. There are at most twice as many aliases as the table of series has slots, for two
  // encodings of each series. They do not count in stats().entries.
  void RememberAliases(std::span<const Alias> aliases);

  // Removes idle entries and frees memory that is no longer needed. Call it every cleanup_interval, from one thread.
  // Works in slices: no lookup or insert waits longer than a slice, well below a millisecond.
  void Sweep();

  // Changes idle_expire_s, confirm_after_s and max_series.
  void Reconfigure(const SeenOptions& options);

  struct Stats {
    uint64_t entries;
    uint64_t alias_entries;
    uint64_t bytes;
    uint64_t refused_inserts;  // because of max_series, or of keys that were made to collide
  };
  Stats stats() const;

  // For the snapshot: all entries, shard by shard. Other calls go on meanwhile.
  static constexpr size_t kShards = LineTable::kShards;
  SeenEntries CopyShard(size_t shard);
  // Puts copied entries into an empty shard; their ages count on from `at_s`.
  // Requires: keys.size() == active.size().
  void FillShard(size_t shard, const SeenEntries& entries);

 private:
  struct Now;
  class AliasClock;

  template <bool kConfirms>
  void LookupAt(const Now& now, std::span<const model::Fingerprint> fingerprints, std::span<const Touch> touches,
                std::span<Seen> answers);
  template <typename ActiveOf>
  size_t InsertSeen(std::span<const model::Fingerprint> fingerprints, const Now& now, ActiveOf active_of);
  void SweepSeries(size_t shard);
  void SweepAliases(size_t shard, LineTable::Verdict current);
  void DropAliases();
  void RememberSome(std::span<const Alias> aliases);
  uint32_t IdleAge() const;
  Now ReadClock() const;
  AliasClock ReadAliasClock() const;

  const Clock& clock_;
  const uint32_t interval_s_;
  std::atomic<uint64_t> idle_expire_s_;
  std::atomic<uint64_t> confirm_after_s_;
  std::atomic<uint64_t> refused_inserts_ = 0;
  LineTable table_;
  const model::LocalHashKey alias_key_;
  LineTable aliases_;
  std::atomic<int64_t> aliases_swept_;  // AliasClock's unit
};

}  // namespace mi::dedupe
