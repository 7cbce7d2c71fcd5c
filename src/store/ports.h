// The ports of the catalogue in SQL. MySQL/MariaDB keeps it for the fleet, SQLite on one machine. Both adapters pass
// the contract suite (store/testing/contract_test.h). The tables are described in docs/formats/sql.md.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/series_batch.h"
#include "model/stream_position.h"

namespace mi::store {

using model::StreamPosition;

// A series that the catalogue did not know before.
struct InsertedSeries {
  uint64_t id;   // ascending within a result
  size_t batch;  // index of its batch in the call
  size_t index;  // in the batch
};

// A series whose times changed; both are the values that the store has now, ms since the epoch.
struct SeenUpdate {
  uint64_t id;
  int64_t first_seen_ms;
  int64_t last_seen_ms;
};

// A series that was refused, because the store knows its fingerprint with another content. They are never merged.
struct Collision {
  size_t batch;
  size_t index;
  std::string stored_content;
};

// Every series of the call is in exactly one of inserted, existing and collisions.
struct ApplyResult {
  // Rows that were damaged and are right again, because the series came once more. They also count in `existing`, and
  // are in `updated`. Ascending by id.
  std::vector<InsertedSeries> healed;
  std::vector<InsertedSeries> inserted;  // in the order of arrival
  // At most one update per id. Includes a newly inserted series if several batches contained it and the merged times
  // differ from the first batch's.
  std::vector<SeenUpdate> updated;
  std::vector<Collision> collisions;
  uint64_t existing = 0;  // series that were known before, or repeated within the call, updated or not
};

// A damaged row, and a fingerprint of the series that it may belong to: what stands in the row, or what its content
// has.
struct DamagedRow {
  uint64_t id;
  model::Fingerprint fingerprint;
};

// Writes the catalogue.
//
// Threads: confined to one thread. Each index worker has a store of its own.
// Errors: kUnavailable, kOverloaded (disk full, locks, a transaction that took too long: fewer series at once may
// succeed): repeat the call. Nothing was applied, or all of it if the answer to a COMMIT was lost. kInvalid, kTooLarge:
// the batches contain what this database cannot store (for MySQL, text that is not UTF-8), and nothing was applied.
// kCorrupt, kInternal: a person is needed. Fatal: a store calls its FatalHandler when it finds that the database went
// back behind what this store read or wrote (a backup was restored, a failover lost transactions), or that another
// catalogue took its place. The call fails with the same error and applies nothing.
class SeriesStore {
 public:
  virtual ~SeriesStore() = default;

  // Applies the batches, their metadata and the positions in one transaction: all or nothing. Any batch may come any
  // number of times, in any order: first_seen = min, last_seen = max over seen_at_ms. A stored last_seen that is more
  // than an hour ahead of the clock is replaced instead. Ids are ascending, and a series gets its id once.
  // If another writer has moved a position beyond what this store last knew, the greater of both positions stands.
  virtual Result<ApplyResult> Apply(std::span<const model::SeriesBatch> batches,
                                    std::span<const StreamPosition> positions) = 0;

  // Sets last_seen as Apply does. Ignores unknown fingerprints. Returns only what changed.
  virtual Result<std::vector<SeenUpdate>> ApplyActivity(std::span<const model::ActivityBatch> batches) = 0;

  // The stored position of a partition, or nothing if there is none. Also checks, as Apply does, whether any known
  // position went back.
  virtual Result<std::optional<int64_t>> Position(const std::string& stream, int32_t partition) = 0;

  // What a reader has found. If the series of such a fingerprint comes again, the store looks at the row, and heals it
  // (ApplyResult::healed). Does nothing in a store that does not heal.
  virtual void NoteDamaged(std::span<const DamagedRow> /*rows*/) {}

  // Makes what is committed independent of any log beside the database (SQLite: checkpoints the WAL and syncs). Returns
  // the positions that are covered: what is before them survives a power cut and may leave the stream. If few series
  // were inserted since the last checkpoint, the store also releases memory: call it once more when all is quiet.
  virtual Result<std::vector<StreamPosition>> Checkpoint() = 0;
};

// A row as it is stored, which may be damaged: then the fingerprint is not that of tenant and content. Views are valid
// during the visit.
struct StoredSeries {
  uint64_t id;
  std::string_view tenant;
  std::string_view content;  // the identity text, which holds all labels
  model::Fingerprint fingerprint;
  int64_t first_seen_ms;
  int64_t last_seen_ms;
  bool has_times = true;  // false: they are lost, and the row is damaged
};

// The ids from `first` to `last`, including both.
struct IdRange {
  uint64_t first;
  uint64_t last;
  friend bool operator==(const IdRange&, const IdRange&) = default;
};

struct CatalogState {
  std::string uuid;         // of this catalogue
  uint64_t highest_id = 0;  // 0 if it is empty
  uint64_t seen_mark = 0;   // pass it to ReadSeenChanges to read what changes after this state
};

// What was said about a metric family.
struct StoredMetadata {
  model::Tenant tenant;
  model::MetricMetadata metadata;
  int64_t last_seen_ms = 0;  // when it was last said
};

// Reads the catalogue while others write it.
// Threads: confined to one thread; open one reader per thread. Fatal: as SeriesStore, if another catalogue took its
// place.
class CatalogReader {
 public:
  virtual ~CatalogReader() = default;

  // Cheap, whatever the size of the catalogue.
  virtual Result<CatalogState> State() = 0;

  // The number of series whose id is at most `up_to_id`. Costs about 0.2 s per million.
  virtual Result<uint64_t> CountSeries(uint64_t up_to_id) = 0;

  // Visits every series with an id above `after_id`, ascending by id. A visitor that returns false ends the reading.
  virtual Status ReadSeries(uint64_t after_id, const std::function<bool(const StoredSeries&)>& visit) = 0;

  // Visits every fingerprint with its last_seen, in any order, to fill the seen table. Cheaper than ReadSeries.
  virtual Status ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t last_seen_ms)>& visit) = 0;

  // Visits the series whose id is in one of `ranges`, ascending by id. Used to fill gaps between ids, since
  // transactions do not commit in the order of their ids. The cost depends on the ranges and rows, not on the ids.
  // Requires: ranges are ascending and do not overlap.
  virtual Status ReadSeriesIn(std::span<const IdRange> ranges,
                              const std::function<bool(const StoredSeries&)>& visit) = 0;

  // Visits the current times of every series that changed since the mark, and of some that did not or are new. Returns
  // the mark for the next call. A mark is valid for one database only. 0 reads everything.
  virtual Result<uint64_t> ReadSeenChanges(uint64_t since, const std::function<void(const SeenUpdate&)>& visit) = 0;

  // Visits what was said about each family of each tenant, in any order: its latest texts (metadata_plan.h).
  virtual Status ReadMetadata(const std::function<bool(const StoredMetadata&)>& visit) = 0;
};

}  // namespace mi::store
