// SeriesStore over MySQL and MariaDB. SeriesMerge (series_merge.h) decides what is written; this class has the SQL, and
// the rules that let any number of writers work on one database.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "model/identity_fingerprinter.h"
#include "store/apply_plan.h"
#include "store/dictionary.h"
#include "store/known_positions.h"
#include "store/mysql/pool.h"
#include "store/ports.h"
#include "store/series_merge.h"

namespace mi::store {

// Threads: confined to one thread. Any number of stores, in any number of processes, may use one database.
class MysqlSeriesStore final : public SeriesStore {
 public:
  explicit MysqlSeriesStore(std::shared_ptr<MysqlPool> pool);
  ~MysqlSeriesStore() override { pool_->ForgetWriter(this); }

  Result<ApplyResult> Apply(std::span<const model::SeriesBatch> batches,
                            std::span<const StreamPosition> positions) override;
  Result<std::vector<SeenUpdate>> ApplyActivity(std::span<const model::ActivityBatch> batches) override;
  Result<std::optional<int64_t>> Position(const std::string& stream, int32_t partition) override;
  // Covers every position: a COMMIT is as durable as the server makes it (innodb_flush_log_at_trx_commit).
  Result<std::vector<StreamPosition>> Checkpoint() override;

 private:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr int kMostConflicts = 20;  // per call; after each conflict another transaction makes progress

  // Calls it with a connection, again while it conflicts with other writers.
  template <typename Call>
  std::invoke_result_t<Call, MysqlConnection&> Repeat(Call call);

  // One attempt at Apply, and its parts.
  Result<ApplyResult> TryApply(MysqlConnection& connection, const ApplyPlan& plan,
                               std::span<const model::SeriesBatch> batches, std::span<const StreamPosition> positions);
  Status FindKnown(MysqlConnection& connection, const ApplyPlan& plan, SeriesMerge& merge);
  Status SettleDictionary(MysqlConnection& connection, Dictionary& dictionary);
  Status AssignIds(MysqlConnection& connection, SeriesMerge& merge);
  Status InsertNew(MysqlConnection& connection, const SeriesMerge& merge, uint64_t now_ms);
  Status HealDamaged(MysqlConnection& connection, const SeriesMerge& merge);
  // Merges the times with the stored ones; returns what changed.
  Result<std::vector<SeenUpdate>> MoveSeen(MysqlConnection& connection, std::span<const SeenUpdate> wanted,
                                           uint64_t now_ms);
  Status ApplyMetadata(MysqlConnection& connection, std::span<const model::SeriesBatch> batches);
  Status ApplyPositions(MysqlConnection& connection, std::span<const StreamPosition> positions);
  Result<ApplyResult> OverloadedIfLate(Time began, Result<ApplyResult> result) const;
  // kUnavailable if a transaction has taken too long. `began`: when it was given its time.
  Status CheckTime(Time began) const;
  Status Commit(MysqlTransaction& transaction, Time began, std::span<const SeenUpdate> moved);
  Status TouchLate(MysqlConnection& connection);
  Result<std::vector<StreamPosition>> ReadPositionsOfCatalog();

  Result<std::vector<SeenUpdate>> TryActivity(std::span<const model::ActivityBatch> batches);
  // The known series that were seen later than the store knows, by id. Their first_seen_ms is INT64_MAX.
  Result<std::vector<SeenUpdate>> FindActive(MysqlConnection& connection,
                                             std::span<const std::pair<Hash16, int64_t>> seen);

  const std::shared_ptr<MysqlPool> pool_;
  telemetry::Counter& repeated_;
  Dictionaries dictionaries_;
  std::optional<model::IdentityFingerprinter> stored_fingerprint_;  // since the first attempt
  KnownPositions known_positions_;
  uint64_t newest_id_ = 0;  // of the series ids that this store was given
  uint64_t inserted_since_checkpoint_ = 0;
  std::vector<uint64_t> late_;  // series whose change may have become visible late; see TouchLate
};

// A failed attempt has rolled back, and it looks at the database anew the next time. The bounds are for a conflict that
// does not end (a lock that nobody frees): the caller then gets kOverloaded, and repeats the call when it sees fit.
template <typename Call>
std::invoke_result_t<Call, MysqlConnection&> MysqlSeriesStore::Repeat(Call call) {
  const Time give_up = std::chrono::steady_clock::now() + pool_->options().longest_transaction;
  for (int conflicts = 0;; ++conflicts) {
    const MysqlLease connection = TRY(pool_->Take());
    const uint64_t faults = connection->faults();
    auto result = call(*connection);
    if (result || !connection->HasConflictSince(faults)) return result;
    if (conflicts == kMostConflicts || std::chrono::steady_clock::now() > give_up) return result;
    repeated_.Add();
  }
}

}  // namespace mi::store
