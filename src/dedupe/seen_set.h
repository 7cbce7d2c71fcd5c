// Remembers which series are already durable, so that each is published once and the rest cost nothing.
//
// A line of 64 bytes is 6 entries (8-byte key, 1-byte confirmed clock, 1-byte activity clock) and flags; what the key
// does not hold of a fingerprint chooses the shard (README.md, docs/adr: the seen table grows a shard at a time).
//
// Threads: safe. Lookup takes no lock and never waits, also while the table grows; Insert locks a shard for
// microseconds, never across I/O. Ownership: copies fingerprints; keeps no reference to the caller's memory.
// Errors: none; when `max_series` is reached, or there is no memory, an insert is refused and counted. The caller
//         publishes again later: a duplicate is cheap, a lost series is not.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "model/fingerprint.h"

namespace mi::dedupe {

struct SeenOptions {
  uint64_t activity_interval_s = 3600;  // a window; how finely "last seen" is known; at least 1
  // Entries without activity for so long leave the table; 0: never. Told in whole windows: an entry stays one or two
  // longer, and 199 windows at most.
  uint64_t idle_expire_s = 86'400;
  uint64_t confirm_after_s = 0;  // 0: there is nothing to ask (standalone); else age after which kKnownConfirm is said
  uint64_t max_series = 0;       // 0: bounded by memory alone
};

enum class Seen : uint8_t {
  kUnknown,         // not durable as far as this table knows
  kKnown,           // durable
  kKnownNewWindow,  // durable, and this is its first activity in its window: put it on the activity stream
  // Durable, but old: ask behind us again, in the background (jittered, from 75 % of confirm_after on). Said once, then
  // not before the entry is old again: an answer that got lost must not silence it for ever.
  kKnownConfirm,
};

// How a sighting counts.
enum class Touch : uint8_t {
  kActive,  // samples: moves the activity clock
  kStale,   // only stale markers: known or not, but no activity
};

// The entries of one shard, for the snapshot: activity clocks as they stood at `at_s`.
struct SeenEntries {
  std::vector<uint64_t> keys;
  std::vector<uint8_t> active;
  int64_t at_s = 0;
};

class SeenSet {
 public:
  static std::unique_ptr<SeenSet> Create(SeenOptions options, const Clock& clock);
  virtual ~SeenSet() = default;

  // One answer per fingerprint, in order; prefetches ahead. Requires: the three spans have one size.
  virtual void Lookup(std::span<const model::Fingerprint> fingerprints, std::span<const Touch> touches,
                      std::span<Seen> answers) = 0;
  virtual bool Contains(model::Fingerprint fingerprint) = 0;  // no activity

  // Marks series durable, active now (or at `last_seen_ms`, when filled from the store). Idempotent.
  // Gives how many are in the table afterwards, new or not; less than all only when it is full.
  virtual size_t Insert(std::span<const model::Fingerprint> fingerprints) = 0;
  virtual size_t Insert(model::Fingerprint fingerprint, int64_t last_seen_ms) = 0;

  // What is behind us has confirmed these: they are young again. Unknown ones are passed over. No activity.
  virtual void Confirm(std::span<const model::Fingerprint> fingerprints) = 0;

  // Aliases: hashes of another encoding of a known series (unsorted labels, 2.0 symbols). They say kKnown until their
  // activity window turns, and are then forgotten, so that the true fingerprint is looked up, and touched, again. At
  // most a quarter of the table; not in stats().entries.
  virtual void LookupAliases(std::span<const model::Fingerprint> aliases, std::span<Seen> answers) = 0;
  virtual void InsertAliases(std::span<const model::Fingerprint> aliases) = 0;

  // Removes idle entries and old generations that are no longer needed. Call it every cleanup_interval, from one
  // thread. Works in slices: no lookup or insert waits longer than a slice (well below a millisecond).
  virtual void Sweep() = 0;

  virtual void Reconfigure(SeenOptions options) = 0;  // idle_expire, confirm_after, max_series; live

  struct Stats {
    uint64_t entries;
    uint64_t alias_entries;
    uint64_t bytes;
    uint64_t refused_inserts;  // because of max_series, or for want of memory
  };
  virtual Stats stats() const = 0;

  // For the snapshot: all entries, shard by shard. Copying runs beside everything else.
  virtual size_t shards() const = 0;
  virtual SeenEntries CopyShard(size_t shard) = 0;
  // Puts copied entries into an empty shard, as old as they are by now. Requires: keys.size() == active.size().
  virtual void FillShard(size_t shard, const SeenEntries& entries) = 0;
};

}  // namespace mi::dedupe
