// The catalogue in SQL: MySQL/MariaDB for the fleet, SQLite on one machine. Both adapters pass the contract suite in
// store/contract_test.h; the tables are in docs/formats/sql.md.
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
  size_t batch;  // where it stands in what was applied
  size_t index;
};

// A series whose times moved; both are the values that the store has now, ms.
struct SeenUpdate {
  uint64_t id;
  int64_t first_seen_ms;
  int64_t last_seen_ms;
};

// A fingerprint that the store knows with another content: refused, never merged.
struct Collision {
  size_t batch;
  size_t index;
  std::string stored_content;
};

// Every series that was applied is in exactly one of inserted, existing and collisions.
struct ApplyResult {
  std::vector<InsertedSeries> inserted;  // in the order of arrival
  // At most once an id; also an inserted series that stood in several batches, when its times are not its batch's.
  std::vector<SeenUpdate> updated;
  std::vector<Collision> collisions;
  uint64_t existing = 0;  // known before, or repeated within the call; updated or not
};

// Writes the catalogue.
// Threads: confined to one thread (a worker has a store of its own).
// Errors: kUnavailable, kOverloaded (disk full, locks): try again; nothing was applied, or all of it by a COMMIT whose
// answer got lost. kInvalid, kTooLarge: the batches hold what this database cannot store (MySQL: text that is not
// UTF-8), and nothing was applied. kOutdated: nothing was applied, a position is behind the one that this store last
// saw (a backup was restored, a failover lost its tail): what is in between must be read again, from Position() on.
// kCorrupt, kInternal: a person is needed.
class SeriesStore {
 public:
  virtual ~SeriesStore() = default;

  // Applies the batches, their metadata and the positions in one transaction: all of it, or nothing. Any batch may come
  // any number of times, in any order: first_seen = min, last_seen = max over seen_at_ms; ids are given ascending, once
  // a series.
  virtual Result<ApplyResult> Apply(std::span<const model::SeriesBatch> batches,
                                    std::span<const StreamPosition> positions) = 0;

  // last_seen = max. Unknown fingerprints are passed over. Gives only what moved.
  virtual Result<std::vector<SeenUpdate>> ApplyActivity(std::span<const model::ActivityBatch> batches) = 0;

  // The stored position of a partition; nothing when there is none.
  virtual Result<std::optional<int64_t>> Position(const std::string& stream, int32_t partition) = 0;

  // Makes what is committed independent of any log beside the database (SQLite: checkpoints the WAL and syncs) and
  // gives the positions that are covered: what is before them survives a power cut and may leave the stream. Called
  // when little is new, it also gives memory back: call it once more when all is quiet.
  virtual Result<std::vector<StreamPosition>> Checkpoint() = 0;
};

// Views are valid during the visit.
struct StoredSeries {
  uint64_t id;
  std::string_view tenant;
  std::string_view content;  // the identity string: holds all labels
  model::Fingerprint fingerprint;
  int64_t first_seen_ms;
  int64_t last_seen_ms;
};

// Ids from `first` to `last`, both in it.
struct IdRange {
  uint64_t first;
  uint64_t last;
  friend bool operator==(const IdRange&, const IdRange&) = default;
};

struct CatalogState {
  std::string uuid;         // of this catalogue
  uint64_t highest_id = 0;  // 0 when it is empty
  uint64_t seen_mark = 0;   // ReadSeenChanges from here on gives whatever moves after this state
};

struct StoredMetadata {
  model::Tenant tenant;
  model::MetricMetadata metadata;
  int64_t last_seen_ms = 0;  // when it was said
};

// Reads the catalogue, beside writers.
// Threads: confined to one thread; open one a thread.
class CatalogReader {
 public:
  virtual ~CatalogReader() = default;

  // Cheap, whatever the size of the catalogue.
  virtual Result<CatalogState> State() = 0;

  // How many series have an id of at most `up_to_id`. Costs some 0.2 s a million.
  virtual Result<uint64_t> CountSeries(uint64_t up_to_id) = 0;

  // Every series with an id above `after_id`, ascending by id. A visitor that returns false ends the reading.
  virtual Status ReadSeries(uint64_t after_id, const std::function<bool(const StoredSeries&)>& visit) = 0;

  // Every fingerprint with its last_seen, in any order: what fills the seen table. Cheaper than ReadSeries.
  virtual Status ReadFingerprints(const std::function<bool(model::Fingerprint, int64_t last_seen_ms)>& visit) = 0;

  // Those with an id in one of `ranges` that exist by now, ascending by id: for gaps between ids, since transactions
  // commit out of order. Costs by the range and by the row, not by the id. Requires: ranges ascending, none touches
  // another.
  virtual Status ReadSeriesIn(std::span<const IdRange> ranges,
                              const std::function<bool(const StoredSeries&)>& visit) = 0;

  // The times of every series that moved since the mark, as they are now; also of some that did not move, or are new.
  // Gives the mark for the next call; a mark is good for one database and means nothing to the caller. 0 gives all.
  virtual Result<uint64_t> ReadSeenChanges(uint64_t since, const std::function<void(const SeenUpdate&)>& visit) = 0;

  virtual Status ReadMetadata(const std::function<bool(const StoredMetadata&)>& visit) = 0;
};

}  // namespace mi::store
