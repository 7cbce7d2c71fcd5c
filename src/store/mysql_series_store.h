// SeriesStore over MySQL and MariaDB.
//
// Apply, beside others that do the same:
//   1. SELECT the fingerprints that are known. 2. Find or make the dictionary rows of the others; committed. 3. Take a
//   block of ids; committed. 4. One transaction, every table in the order of its key: series, times, postings,
//   metadata, positions.
// Whoever inserts a fingerprint second waits for the first, meets its row, rolls back and begins again at 1, where it
// finds it. No row is left half, no id is given twice; a block that was taken in vain is a gap.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "store/apply_plan.h"
#include "store/dictionary_tables.h"
#include "store/last_positions.h"
#include "store/mysql_dictionary.h"
#include "store/mysql_pool.h"
#include "store/mysql_rows.h"
#include "store/ports.h"

namespace mi::store {

// Threads: confined to one thread. Any number of stores, in any number of processes, may stand on one database.
class MysqlSeriesStore final : public SeriesStore {
 public:
  explicit MysqlSeriesStore(std::shared_ptr<MysqlPool> pool);
  ~MysqlSeriesStore() override { pool_->up().Forget(this); }

  Result<ApplyResult> Apply(std::span<const model::SeriesBatch> batches,
                            std::span<const StreamPosition> positions) override;
  Result<std::vector<SeenUpdate>> ApplyActivity(std::span<const model::ActivityBatch> batches) override;
  Result<std::optional<int64_t>> Position(const std::string& stream, int32_t partition) override;
  // Every position: a COMMIT is as durable as the server makes it (innodb_flush_log_at_trx_commit).
  Result<std::vector<StreamPosition>> Checkpoint() override;

 private:
  using Time = std::chrono::steady_clock::time_point;
  // A known series whose times may have to move.
  struct Sighting {
    uint64_t id;
    int64_t first_seen_ms;
    int64_t last_seen_ms;
  };
  // A series that the store does not have yet.
  struct FreshSeries {
    const PlannedSeries* planned;
    uint64_t id = 0;
    size_t basic_label;                         // slots of the dictionaries
    size_t labels_begin, labels_end;            // in labels_
    size_t content_begin = 0, content_end = 0;  // in contents_
    std::array<char, 16> fingerprint{};
  };
  struct LabelSlots {
    size_t name, value;
  };
  struct Posting {
    uint64_t name, value, series;
    auto operator<=>(const Posting&) const = default;
  };
  struct ApplyCall {
    ApplyCall(std::span<const model::SeriesBatch> all, std::span<const StreamPosition> stream_positions)
        : plan(all), batches(all), positions(stream_positions) {}

    ApplyPlan plan;
    std::span<const model::SeriesBatch> batches;
    std::span<const StreamPosition> positions;
  };

  Result<ApplyResult> Attempt(MysqlConnection& connection, const ApplyCall& call);
  Status FindKnown(MysqlConnection& connection, const ApplyCall& call, ApplyResult& result);
  void MeetStored(const ApplyCall& call, size_t run, const MysqlStatement& row, ApplyResult& result);
  // Fills fresh_ and the dictionaries' wants. kInvalid: a text that is not UTF-8.
  Status GatherFresh(const ApplyCall& call, ApplyResult& result);
  Status GatherSeries(const ApplyCall& call, const PlannedSeries& series);
  Status Resolve(MysqlConnection& connection);
  // Takes the ids, in the order of arrival, of those that the dictionaries accept.
  Status GiveIds(MysqlConnection& connection, const ApplyCall& call, ApplyResult& result);
  Status InsertFresh(MysqlConnection& connection, uint64_t now_ms);
  Status MoveSeen(MysqlConnection& connection, std::span<const Sighting> sightings, uint64_t now_ms,
                  std::vector<SeenUpdate>& updated);
  Status ApplyMetadata(MysqlConnection& connection, const ApplyCall& call);
  Status ApplyPositions(MysqlConnection& connection, const ApplyCall& call);
  // kOutdated when the database is behind the position that it last had for us. Locks the row until the end.
  Status CheckPosition(MysqlConnection& connection, const std::string& hash, const StreamPosition& position);
  // Requires: `began` is when what is committed was given its `changed`.
  Status CheckTime(Time began) const;
  Status Commit(MysqlTransaction& transaction, Time began, std::span<const SeenUpdate> moved);
  // Followers look back by the longest transaction: what may have become visible later than that is told again.
  Status TellLateAgain(MysqlConnection& connection);
  Result<std::optional<int64_t>> ReadPosition(const std::string& stream, int32_t partition);

  // Runs it on a connection, again while it conflicts with other writers.
  template <typename Call>
  std::invoke_result_t<Call, MysqlConnection&> Repeat(Call call);
  static constexpr int kMostConflicts = 20;  // of one call; each means that another transaction got on
  void ForgetAll();
  // Told to the gauge store_up: a refusal of the records is none of the database.
  template <typename T>
  void NoteWrite(const Result<T>& result) {
    if (result) {
      pool_->up().Wrote(this, true);
    } else if (result.error().code() != Errc::kInvalid && result.error().code() != Errc::kTooLarge &&
               result.error().code() != Errc::kOutdated) {
      pool_->up().Wrote(this, false);
    }
  }
  Result<std::vector<SeenUpdate>> MoveActivity(std::span<const model::ActivityBatch> batches);

  const std::shared_ptr<MysqlPool> pool_;
  telemetry::Counter& repeated_;
  std::vector<MysqlDictionary> dictionaries_;  // names, values, basic labels
  LastPositions last_positions_;
  uint64_t epoch_ = 0;
  std::string uuid_;  // of the catalogue whose ids the dictionaries remember
  uint64_t inserted_since_checkpoint_ = 0;
  std::vector<uint64_t> late_;  // series that moved in transactions whose COMMIT took too long, or had no answer

  // Buffers of one attempt, kept for the next.
  std::vector<char> run_is_known_;
  std::vector<Sighting> sightings_;
  std::vector<FreshSeries> fresh_;
  std::vector<LabelSlots> labels_;
  std::vector<Posting> postings_;
  std::string contents_;
  std::string text_;
  MysqlRows series_rows_{"nntt"};
  MysqlRows seen_rows_{"nnnn"};
  MysqlRows posting_rows_{"nnn"};
};

template <typename Call>
std::invoke_result_t<Call, MysqlConnection&> MysqlSeriesStore::Repeat(Call call) {
  const Time give_up = std::chrono::steady_clock::now() + pool_->options().longest_transaction;
  for (int conflicts = 0;; ++conflicts) {
    Result<MysqlLease> connection = pool_->Take();
    if (!connection) return Fail(connection.error());
    const uint64_t epoch = pool_->epoch();
    if (std::exchange(epoch_, epoch) != epoch || uuid_ != connection->uuid()) ForgetAll();
    uuid_ = connection->uuid();
    const uint64_t faults = (*connection)->faults();
    auto result = call(**connection);
    if (result) return result;
    const bool conflict = (*connection)->faults() != faults && (*connection)->last_fault() == MysqlFault::kConflict;
    if (!conflict || conflicts == kMostConflicts || std::chrono::steady_clock::now() > give_up) return result;
    repeated_.Add();
  }
}

}  // namespace mi::store
