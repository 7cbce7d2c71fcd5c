#include "app/seen_table.h"

#include <filesystem>
#include <fstream>

#include "store/testing/fake_store.h"

namespace mi::app {
namespace {

class SeenTableTest : public testing::Test {
 protected:
  SeenTableTest() { std::filesystem::create_directories(folder_); }
  ~SeenTableTest() override { std::filesystem::remove_all(folder_); }
  std::unique_ptr<dedupe::SeenSet> Open() {
    const auto log = telemetry::Log::Create({.level = "warn", .filename = folder_ + "/log"}).value();
    auto seen = OpenSeenTable(snapshot_, {}, {}, {*catalog_.OpenReader(), clock_, *log}).value();
    return seen;
  }
  std::string Logged() const {
    std::ifstream file(folder_ + "/log");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  const std::string folder_ =
      testing::TempDir() + "seen_table_test." + testing::UnitTest::GetInstance()->current_test_info()->name();
  const std::string snapshot_ = folder_ + "/seen.snapshot";
  store::FakeCatalog catalog_;
  ManualClock clock_;
};

TEST_F(SeenTableTest, LogsNothingIfThereIsNoSnapshot) {
  EXPECT_NE(Open(), nullptr);
  EXPECT_EQ(Logged(), "");
}

TEST_F(SeenTableTest, DeletesAnUnusableSnapshotAndLogsTheReason) {
  std::ofstream(snapshot_) << std::string(300, 'x');
  EXPECT_NE(Open(), nullptr);
  EXPECT_THAT(Logged(), testing::HasSubstr("discarded"));
  EXPECT_FALSE(std::filesystem::exists(snapshot_));
}

TEST_F(SeenTableTest, LogsASnapshotThatCanNeitherBeReadNorDeleted) {
  std::filesystem::create_directories(snapshot_ + "/in the way");
  EXPECT_NE(Open(), nullptr);
  EXPECT_THAT(Logged(), testing::HasSubstr("discarded"));
  EXPECT_THAT(Logged(), testing::HasSubstr("cannot be deleted"));
}

TEST_F(SeenTableTest, StopsReadingTheStoreWhenAStopIsRequested) {
  model::SeriesBatch batch(model::Tenant(), 1);
  std::string labels;
  model::AppendCanonical({"__name__", "up"}, labels);
  batch.Add(model::Fingerprint{1, 2}, labels);
  ASSERT_TRUE(catalog_.OpenStore()->Apply(std::span(&batch, 1), {}));
  const auto log = telemetry::Logger::Null();
  bool stop = false;
  const auto open = [&] {
    return OpenSeenTable(snapshot_, {}, {}, {*catalog_.OpenReader(), clock_, *log, [&] { return stop; }});
  };
  EXPECT_EQ(open().value()->stats().entries, 1U);
  stop = true;
  EXPECT_THAT(open().error().message(), testing::HasSubstr("a stop was requested"));
}

}  // namespace
}  // namespace mi::app
