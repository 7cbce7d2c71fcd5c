// The catalogue on a disk whose power is cut: every Apply is there whole, with its positions, or not at all; and what
// Checkpoint() covered survives even without the log beside the database.
#include <random>

#include "sqlite/database.h"
#include "store/sqlite/catalog.h"
#include "store/testing/contract_test.h"
#include "store/testing/fatal_log.h"
#include "store/testing/test_directory.h"
#include "support/power_cut_vfs.h"

namespace mi::store {
namespace {

using tests::PowerCutVfs;

constexpr size_t kSeriesACall = 40;

class SqlitePowerTest : public testing::Test {
 protected:
  // The call that leads from offset n to n + 1.
  static model::SeriesBatch Call(int64_t n) { return MakePodBatch("", 1000 + n, kSeriesACall, static_cast<size_t>(n)); }
  Result<SqliteCatalog> Open() {
    return SqliteCatalog::Open({.path = directory_.catalog(), .vfs = disk_.name(), .checkpoint_wal_bytes = 300'000});
  }
  // Applies until the power is gone; gives the offset that was acknowledged last.
  int64_t WorkUntilTheCut(int64_t from, std::mt19937_64& random) {
    const Result<SqliteCatalog> catalog = Open();
    if (!catalog) return from;
    auto store = catalog->OpenStore(IgnoreFatal);
    if (!store) return from;
    while (!disk_.is_off()) {
      const model::SeriesBatch batch = Call(from);
      const StreamPosition position[] = {{"journal", 0, from + 1}};
      if ((*store)->Apply({&batch, 1}, position)) ++from;
      if (random() % 5 == 0) (void)(*store)->Checkpoint();
    }
    return from;
  }
  // The rows must be exactly those of the stored position. Gives it.
  int64_t Reckon() {
    const SqliteCatalog catalog = Open().value();
    const int64_t position = catalog.OpenStore(IgnoreFatal).value()->Position("journal", 0).value().value_or(0);
    const std::vector<SeriesRow> rows = ReadAll(*catalog.OpenReader().value());
    EXPECT_EQ(rows.size(), kSeriesACall * static_cast<size_t>(position));
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(rows[i].id, i + 1);
      EXPECT_EQ(rows[i].first_seen_ms, 1000 + static_cast<int64_t>(i / kSeriesACall));
    }
    sqlite::Database database = sqlite::Database::Open(directory_.catalog(), {.vfs = disk_.name()}).value();
    EXPECT_EQ(database.QueryInt("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check != 'ok'"), 0);
    EXPECT_EQ(database.QueryInt("SELECT count(*) FROM v_series"), position * static_cast<int64_t>(kSeriesACall));
    return position;
  }

  const TestDirectory directory_;
  PowerCutVfs disk_{directory_.path()};
};

TEST_F(SqlitePowerTest, KeepsEveryAcknowledgedApplyAsAWhole) {
  std::mt19937_64 random(4);
  int64_t position = 0;
  for (uint64_t cut = 0; cut < 40; ++cut) {
    disk_.CutAfter(1 + random() % 400);
    const int64_t acknowledged = WorkUntilTheCut(position, random);
    disk_.Restore(cut % 2 == 0 ? PowerCutVfs::Unsynced::kLost : PowerCutVfs::Unsynced::kRandomSectors, cut);
    const int64_t found = Reckon();
    // A COMMIT whose answer was lost may be there: it is whole, too.
    EXPECT_GE(found, acknowledged) << "cut " << cut;
    EXPECT_LE(found, acknowledged + 1) << "cut " << cut;
    position = found;
  }
  EXPECT_GT(position, 40);
}

TEST_F(SqlitePowerTest, KeepsWhatACheckpointCoveredWithoutTheLog) {
  const SqliteCatalog catalog = Open().value();
  auto store = catalog.OpenStore(IgnoreFatal).value();
  for (int64_t n = 0; n < 5; ++n) {
    const model::SeriesBatch batch = Call(n);
    const StreamPosition position[] = {{"journal", 0, n + 1}};
    ASSERT_TRUE(store->Apply({&batch, 1}, position));
  }
  ASSERT_EQ(store->Checkpoint().value().at(0).next_offset, 5);
  disk_.Cut();
  store.reset();
  disk_.Restore(PowerCutVfs::Unsynced::kLost);
  std::filesystem::remove(directory_.catalog() + "-wal");
  EXPECT_EQ(Reckon(), 5);
}

}  // namespace
}  // namespace mi::store
