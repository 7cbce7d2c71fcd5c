// What only the SQLite adapter does; what every adapter must do stands in contract_test.cc.
#include <filesystem>
#include <thread>

#include "base/format.h"
#include "sqlite/database.h"
#include "store/sqlite/catalog.h"
#include "store/testing/contract_test.h"
#include "store/testing/fatal_log.h"
#include "store/testing/test_directory.h"
#include "support/power_cut_vfs.h"

namespace mi::store {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class SqliteStoreTest : public testing::Test {
 protected:
  void OpenStore(SqliteCatalogOptions options = {}) {
    options.path = directory_.catalog();
    catalog_.emplace(SqliteCatalog::Open(std::move(options)).value());
    store_ = catalog_->OpenStore(fatal_.Handler()).value();
  }
  Result<ApplyResult> Apply(const model::SeriesBatch& batch, int64_t next_offset) {
    const StreamPosition position[] = {{"journal", 0, next_offset}};
    return store_->Apply({&batch, 1}, position);
  }
  sqlite::Database Connect(bool read_only = false) {
    return sqlite::Database::Open(directory_.catalog(), {.read_only = read_only}).value();
  }
  uint64_t WalFileBytes() const { return std::filesystem::file_size(directory_.catalog() + "-wal"); }

  FatalLog fatal_;
  const TestDirectory directory_;
  std::optional<SqliteCatalog> catalog_;
  std::unique_ptr<SeriesStore> store_;
};

TEST_F(SqliteStoreTest, CoversNothingNewWhileAReaderNeedsTheWal) {
  OpenStore();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 1), 1));
  EXPECT_THAT(store_->Checkpoint().value(), testing::ElementsAre(StreamPosition{"journal", 0, 1}));
  sqlite::Database person = Connect(true);
  ASSERT_TRUE(person.Exec("BEGIN; SELECT count(*) FROM metric"));
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 10, 2), 2));
  EXPECT_THAT(store_->Checkpoint().value(), testing::ElementsAre(StreamPosition{"journal", 0, 1}));
  ASSERT_TRUE(person.Exec("COMMIT"));
  EXPECT_THAT(store_->Checkpoint().value(), testing::ElementsAre(StreamPosition{"journal", 0, 2}));
}

TEST_F(SqliteStoreTest, MakesCheckpointsByItselfSoThatTheWalStaysSmall) {
  OpenStore({.checkpoint_wal_bytes = 1 << 20});
  for (size_t i = 0; i < 30; ++i) ASSERT_TRUE(Apply(MakePodBatch("", 1000, 500, i), 1));
  EXPECT_LT(WalFileBytes(), 4u << 20);
  EXPECT_GT(std::filesystem::file_size(directory_.catalog()), 4u << 20);
}

TEST_F(SqliteStoreTest, BoundsTheWalWhileAReaderNeedsItAndShrinksItAfterwards) {
  OpenStore({.checkpoint_wal_bytes = 1 << 20, .max_wal_bytes = 3 << 20});
  sqlite::Database person = Connect(true);
  ASSERT_TRUE(person.Exec("BEGIN; SELECT count(*) FROM metric"));
  Result<ApplyResult> result = ApplyResult();
  for (size_t i = 0; i < 100 && result; ++i) result = Apply(MakePodBatch("", 1000, 500, i), static_cast<int64_t>(i));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Errc::kOverloaded);
  EXPECT_THAT(result.error().message(), testing::AllOf(HasSubstr("catalog.db-wal"), HasSubstr("limit 3 MiB")));
  EXPECT_LT(WalFileBytes(), 6u << 20);
  EXPECT_FALSE(store_->ApplyActivity({}));

  ASSERT_TRUE(person.Exec("COMMIT"));
  EXPECT_TRUE(Apply(MakePodBatch("", 1000, 500, 99), 99));
  EXPECT_LT(WalFileBytes(), 3u << 20);
}

TEST_F(SqliteStoreTest, KeepsTheWalSmallWhileReadersOverlapWithoutAPause) {
  OpenStore({.checkpoint_wal_bytes = 1 << 20, .max_wal_bytes = 4 << 20});
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 2'000, 50), 0));
  {
    std::vector<std::jthread> readers;
    for (int i = 0; i < 2; ++i) {
      readers.emplace_back([&](const std::stop_token& stop) {
        const auto reader = catalog_->OpenReader().value();
        while (!stop.stop_requested()) EXPECT_GE(ReadAll(*reader).size(), 2'000u);
      });
    }
    for (size_t i = 0; i < 30; ++i) {
      const model::SeriesBatch batch = MakePodBatch("", 1000, 500, i);
      // Overloaded: on a slow machine the readers may be at it for longer than a call waits.
      for (Result<ApplyResult> result = Apply(batch, static_cast<int64_t>(i)); !result;) {
        ASSERT_EQ(result.error().code(), Errc::kOverloaded) << result.error().message();
        result = Apply(batch, static_cast<int64_t>(i));
      }
    }
  }
  EXPECT_LT(WalFileBytes(), 8u << 20);
  EXPECT_THAT(store_->Checkpoint().value(), testing::ElementsAre(StreamPosition{"journal", 0, 29}));
}

TEST_F(SqliteStoreTest, IsOverloadedWhileTheDiskIsFullAndContinuesAfterwards) {
  tests::PowerCutVfs disk(directory_.path());
  OpenStore({.vfs = disk.name()});
  const model::SeriesBatch first = MakePodBatch("", 1000, 10, 1);
  const model::SeriesBatch second = MakePodBatch("", 1000, 5'000, 2);
  ASSERT_TRUE(Apply(first, 1));
  disk.SetDiskFull(true);
  const Result<ApplyResult> full = Apply(second, 2);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), Errc::kOverloaded) << full.error().message();
  auto reader = catalog_->OpenReader().value();
  EXPECT_THAT(ReadAll(*reader), SizeIs(10));
  EXPECT_EQ(store_->Position("journal", 0).value(), 1);

  disk.SetDiskFull(false);
  EXPECT_THAT(Apply(second, 2).value().inserted, SizeIs(5'000));
  EXPECT_THAT(ReadAll(*reader), SizeIs(5'010));
  EXPECT_EQ(store_->Checkpoint().value().at(0).next_offset, 2);
  reader.reset();
  store_.reset();
}

TEST_F(SqliteStoreTest, FindsDictionaryRowsAgainAfterItForgotThem) {
  OpenStore({.dictionary_bytes = 2'000});
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(Apply(MakePodBatch("", 1000, 300, i), 1));
    ASSERT_TRUE(store_->Checkpoint());
    ASSERT_TRUE(store_->Checkpoint());  // nothing came: it rests
  }
  sqlite::Database database = Connect();
  EXPECT_EQ(database.QueryInt("SELECT count(*) FROM metric"), 900);
  EXPECT_EQ(database.QueryInt("SELECT count(*) - count(DISTINCT value) FROM metric_label_value"), 0);
  EXPECT_EQ(database.QueryInt("SELECT count(*) FROM metric_label_name"), 9);
}

TEST_F(SqliteStoreTest, WaitsForAnotherWriterAndThenIsUnavailable) {
  OpenStore({.busy_timeout_ms = 50});
  sqlite::Database person = Connect();
  ASSERT_TRUE(person.Exec("BEGIN IMMEDIATE"));
  const Result<ApplyResult> result = Apply(MakePodBatch("", 1000, 10, 1), 1);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Errc::kUnavailable);
  ASSERT_TRUE(person.Exec("ROLLBACK"));
  EXPECT_THAT(Apply(MakePodBatch("", 1000, 10, 1), 1).value().inserted, SizeIs(10));
}

TEST_F(SqliteStoreTest, ReportsADamagedFileAsCorrupt) {
  OpenStore();
  ASSERT_TRUE(Apply(MakePodBatch("", 1000, 2'000, 1), 1));
  ASSERT_TRUE(store_->Checkpoint());
  store_.reset();
  {
    std::FILE* file = std::fopen(directory_.catalog().c_str(), "r+");
    ASSERT_NE(file, nullptr);
    const std::string garbage(200'000, '\xa5');
    std::fseek(file, 16384 * 20, SEEK_SET);
    std::fwrite(garbage.data(), 1, garbage.size(), file);
    std::fclose(file);
  }
  const auto reader = catalog_->OpenReader().value();
  const Status read = reader->ReadSeries(0, [](const StoredSeries&) { return true; });
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), Errc::kCorrupt) << read.error().message();
}

}  // namespace
}  // namespace mi::store
