// SeriesStore over SQLite.
//
// Apply asks for what exists in the order of fingerprints, gives the rest ids in the order of arrival (a scrape's
// series stay neighbours, which makes postings short), and writes the postings sorted, so that each page is touched
// once.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sqlite/database.h"
#include "store/apply_plan.h"
#include "store/last_positions.h"
#include "store/ports.h"
#include "store/sqlite_bulk_insert.h"
#include "store/sqlite_dictionary.h"

namespace mi::store {

// Threads: confined to one thread. Several stores may stand on one file: SQLite lets them write one after the other.
class SqliteSeriesStore final : public SeriesStore {
 public:
  struct Limits {  // see SqliteCatalogOptions
    uint64_t dictionary_bytes;
    uint64_t checkpoint_wal_bytes;
    uint64_t max_wal_bytes;
  };

  // Requires: the tables of sqlite_schema.h.
  static Result<std::unique_ptr<SeriesStore>> Create(sqlite::Database database, const Limits& limits);

  Result<ApplyResult> Apply(std::span<const model::SeriesBatch> batches,
                            std::span<const StreamPosition> positions) override;
  Result<std::vector<SeenUpdate>> ApplyActivity(std::span<const model::ActivityBatch> batches) override;
  Result<std::optional<int64_t>> Position(const std::string& stream, int32_t partition) override;
  Result<std::vector<StreamPosition>> Checkpoint() override;

 private:
  struct Posting {
    int64_t name;
    int64_t value;
    int64_t series;
    auto operator<=>(const Posting&) const = default;
  };
  // A series that the store does not have yet.
  struct FreshSeries {
    int64_t id;
    int64_t basic_label;
    int64_t first_seen_ms;
    int64_t last_seen_ms;
    std::array<char, 16> fingerprint;
    size_t content_end;  // in contents_; it begins where the one before it ends
  };

  SqliteSeriesStore(sqlite::Database database, const Limits& limits)
      : limits_(limits), database_(std::move(database)), truncate_at_bytes_(4 * limits.checkpoint_wal_bytes) {}
  Status Prepare();

  Result<ApplyResult> ApplyInTransaction(const ApplyPlan& plan, std::span<const model::SeriesBatch> batches,
                                         std::span<const StreamPosition> positions);
  // The run of planned series that share a fingerprint: updates what is stored, adds to `fresh` what is not.
  Status ApplyFingerprint(const ApplyPlan& plan, std::span<const PlannedSeries> variants,
                          std::vector<const PlannedSeries*>& fresh, ApplyResult& result);
  Status UpdateSeen(int64_t id, int64_t first_seen_ms, int64_t last_seen_ms, ApplyResult& result);
  Status InsertSeries(const ApplyPlan& plan, std::span<const PlannedSeries* const> fresh,
                      std::span<const model::SeriesBatch> batches, ApplyResult& result);
  // Gives the series its id, and adds its rows to fresh_, contents_ and postings_.
  Status AddFresh(const ApplyPlan& plan, const PlannedSeries& series, int64_t id);
  // Inserts what fresh_, contents_ and postings_ hold.
  Status InsertRows();
  Status ApplyMetadata(const model::SeriesBatch& batch);
  // kOutdated when the database is behind the position that it last had for us.
  Status ApplyPosition(const StreamPosition& position);
  // As it is stored now.
  Result<std::optional<int64_t>> ReadPosition(const std::string& stream, int32_t partition);

  Result<int64_t> BasicLabelId(const model::Tenant& tenant, model::LabelsView labels);

  void Rest();
  Status MakeRoomInWal();
  void CheckpointWhenDue();

  Limits limits_;
  sqlite::Database database_;
  std::vector<SqliteDictionary> dictionaries_;  // names, values, basic labels
  SqliteBulkInsert insert_series_, insert_seen_, insert_postings_;
  sqlite::Statement find_, next_id_, update_seen_;
  sqlite::Statement find_id_, advance_seen_, upsert_metadata_, upsert_position_, position_, positions_;

  LastPositions last_positions_;

  // Buffers of one call, kept for the next.
  std::vector<FreshSeries> fresh_;
  std::string contents_;
  std::vector<Posting> postings_;
  std::string text_;
  std::vector<StreamPosition> covered_;
  uint64_t inserted_since_checkpoint_ = 0;
  uint64_t truncate_at_bytes_;
};

}  // namespace mi::store
