// SeriesStore over SQLite. SeriesMerge (series_merge.h) decides what is written; this class has the SQL, and keeps the
// write-ahead log (WAL) small.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/fatal.h"
#include "model/identity_fingerprinter.h"
#include "sqlite/database.h"
#include "store/apply_plan.h"
#include "store/dictionary.h"
#include "store/known_positions.h"
#include "store/ports.h"
#include "store/series_merge.h"
#include "store/sqlite/bulk_insert.h"
#include "store/sqlite/catalog.h"
#include "store/sqlite/fingerprint_index.h"
#include "store/sqlite/label_blocks.h"

namespace mi::store {

// Threads: confined to one thread. Several stores may use one file: SQLite lets them write one after the other.
class SqliteSeriesStore final : public SeriesStore {
 public:
  // Requires: the database has the tables of sqlite/schema.h.
  static Result<std::unique_ptr<SeriesStore>> Create(sqlite::Database database, const SqliteCatalogOptions& options,
                                                     const std::string& identity_secret, FatalHandler fatal);

  Result<ApplyResult> Apply(std::span<const model::SeriesBatch> batches,
                            std::span<const StreamPosition> positions) override;
  Result<std::vector<SeenUpdate>> ApplyActivity(std::span<const model::ActivityBatch> batches) override;
  Result<std::optional<int64_t>> Position(const std::string& stream, int32_t partition) override;
  void NoteDamaged(std::span<const DamagedRow> rows) override;
  Result<std::vector<StreamPosition>> Checkpoint() override;

 private:
  struct DictionaryRows {
    sqlite::Statement find, insert, correct;
  };

  SqliteSeriesStore(sqlite::Database database, const SqliteCatalogOptions& options, const std::string& identity_secret,
                    FatalHandler fatal);
  Status Prepare();

  Result<ApplyResult> ApplyBatches(std::span<const model::SeriesBatch> batches,
                                   std::span<const StreamPosition> positions);
  Result<std::vector<SeenUpdate>> ApplySightings(std::span<const model::ActivityBatch> batches);
  Result<std::vector<StreamPosition>> MakeCheckpoint();
  // Passes a result on; calls `fatal` if SQLite has found damage.
  template <typename T>
  Result<T> FatalIfDamaged(Result<T> result) const;

  std::unexpected<Error> IdsAreUsedUp(uint64_t id) const;
  // Brings index_ up to date with the table. Inside each transaction that uses it.
  Status LearnFingerprints();
  // Finds the row that has a fingerprint, or whose content has it. After true, find_ stands on the row.
  Result<bool> FindRow(const model::Fingerprint& fingerprint);

  // The parts of ApplyBatches, inside its transaction.
  Status FindKnown(const ApplyPlan& plan, SeriesMerge& merge);
  Status SettleDictionary(Dictionary& dictionary, DictionaryRows& rows);
  static Status SettleByFound(const DictionaryTable& table, DictionaryRows& rows, Dictionary::Wanted& wanted);
  Status InsertNew(SeriesMerge& merge);
  Status HealDamaged(const SeriesMerge& merge);
  Status UpdateSeen(std::span<const SeenUpdate> moved);
  Status ApplyMetadata(std::span<const model::SeriesBatch> batches);
  Status ApplyPositions(std::span<const StreamPosition> positions);

  Result<std::vector<StreamPosition>> ReadPositions();

  // kOverloaded if the WAL is too large and cannot shrink.
  Status MakeRoomInWal();
  void CheckpointWhenDue();

  const SqliteCatalogOptions options_;
  sqlite::Database database_;
  SqliteBulkInsert insert_series_, insert_seen_;
  LabelBlocks label_blocks_;
  sqlite::Statement find_, find_id_, last_ids_, fingerprints_, update_seen_, advance_seen_;
  sqlite::Statement heal_series_, heal_seen_;
  sqlite::Statement metadata_, upsert_metadata_, upsert_position_, positions_;

  Dictionaries dictionaries_;
  std::array<DictionaryRows, 3> dictionary_rows_;  // in the order of dictionaries_.all()
  const FatalHandler fatal_;
  bool went_back_ = false;  // known_positions_ has called fatal_
  KnownPositions known_positions_;
  model::IdentityFingerprinter stored_fingerprint_;
  FingerprintIndex index_;               // of rows that are committed
  int64_t indexed_through_ = 0;          // the highest id in it
  int64_t next_id_ = 0;                  // since LearnFingerprints
  std::vector<StreamPosition> covered_;  // by the last complete checkpoint
  uint64_t inserted_since_checkpoint_ = 0;
  uint64_t truncate_at_bytes_;  // a larger WAL is worth waiting for readers
};

}  // namespace mi::store
