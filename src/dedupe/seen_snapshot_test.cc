#include "dedupe/seen_snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "dedupe/testing/series.h"

namespace mi::dedupe {
namespace {

using std::chrono::hours;
using ::testing::Each;
using ::testing::HasSubstr;
using testing::kMany;
using testing::Look;
using testing::Series;
using testing::SeriesRange;

class SeenSnapshot : public ::testing::Test {
 protected:
  SeenSnapshot() {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  ~SeenSnapshot() override { std::filesystem::remove_all(directory_); }

  Status Write(SeenSet& seen) {
    return WriteSnapshot(seen, path_, [&] { return Result<SnapshotBinding>(binding_); });
  }
  Result<std::unique_ptr<SeenSet>> Read(const SnapshotBinding& now, SeenOptions options = {}) {
    return ReadSnapshot(path_, now, options, clock_);
  }
  std::unique_ptr<SeenSet> Written(uint64_t series) {
    auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock_);
    seen->Insert(SeriesRange(0, series));
    EXPECT_TRUE(Write(*seen));
    return seen;
  }
  std::string Bytes() {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void PutBytes(std::string_view bytes) { std::ofstream(path_, std::ios::binary) << bytes; }

  void PutByte(size_t at, char byte) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at)).put(byte);
  }

  ManualClock clock_;
  const std::string directory_ =
      ::testing::TempDir() + "seen_" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
  const std::string path_ = directory_ + "/seen.snapshot";
  const SnapshotBinding binding_{.catalog_uuid = "6a1f2f3e-0000-4000-8000-0123456789ab",
                                 .highest_id = 1000,
                                 .journal_uuid = "7b1f2f3e-0000-4000-8000-0123456789ab",
                                 .journal_next_offset = 77,
                                 .secret_check = 42,
                                 .activity_interval_s = 3600};
};

TEST_F(SeenSnapshot, RestoresWhatWasInTheTable) {
  Written(50'000);
  const auto seen = Read(binding_);
  ASSERT_TRUE(seen) << seen.error().message();
  EXPECT_EQ((*seen)->stats().entries, 50'000);
  EXPECT_THAT(Look(**seen, SeriesRange(0, 50'000)), Each(Seen::kKnown));
  EXPECT_THAT(Look(**seen, SeriesRange(50'000, 60'000)), Each(Seen::kUnknown));
}

TEST_F(SeenSnapshot, OfAnEmptyTableIsAnEmptyTable) {
  Written(0);
  const auto seen = Read(binding_);
  ASSERT_TRUE(seen) << seen.error().message();
  EXPECT_EQ((*seen)->stats().entries, 0);
}

TEST_F(SeenSnapshot, TakesNoMoreMemoryThanATableThatGrew) {
  Written(kMany);
  const auto seen = Read(binding_);
  ASSERT_TRUE(seen) << seen.error().message();
  EXPECT_EQ((*seen)->stats().entries, kMany);
  EXPECT_LE((*seen)->stats().bytes, 20 * kMany + (2 << 20));
}

TEST_F(SeenSnapshot, KeepsTheAgeOfEachEntry) {
  auto before = std::make_unique<SeenSet>(SeenOptions{}, clock_);
  before->Insert(SeriesRange(0, 1000));
  clock_.Advance(hours(20));
  before->Insert(SeriesRange(1000, 2000));
  ASSERT_TRUE(Write(*before));
  clock_.Advance(hours(7));
  const auto seen = Read(binding_);
  ASSERT_TRUE(seen);
  EXPECT_THAT(Look(**seen, SeriesRange(1500, 2000)), Each(Seen::kKnownNewWindow));
  EXPECT_THAT(Look(**seen, SeriesRange(1500, 2000)), Each(Seen::kKnown));
  (*seen)->Sweep();
  EXPECT_THAT(Look(**seen, SeriesRange(0, 1000)), Each(Seen::kUnknown));
  EXPECT_THAT(Look(**seen, SeriesRange(1500, 2000)), Each(Seen::kKnown));
}

TEST_F(SeenSnapshot, FromLongAgoHasOldEntriesNotYoungOnes) {
  Written(1000);
  clock_.Advance(hours(255));  // the clocks have wrapped around exactly once
  const auto seen = Read(binding_);
  ASSERT_TRUE(seen);
  (*seen)->Sweep();
  EXPECT_EQ((*seen)->stats().entries, 0);
}

TEST_F(SeenSnapshot, IsReadUpToMaxSeries) {
  Written(1000);
  const auto seen = Read(binding_, {.max_series = 600});
  ASSERT_TRUE(seen);
  EXPECT_EQ((*seen)->stats().entries, 600);
}

TEST_F(SeenSnapshot, ReadsItsBindingAfterTheEntriesAreCopied) {
  auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock_);
  seen->Insert(SeriesRange(0, 100));
  ASSERT_TRUE(WriteSnapshot(*seen, path_, [&] {
    seen->Insert(SeriesRange(100, 200));
    return Result<SnapshotBinding>(binding_);
  }));
  EXPECT_EQ((*Read(binding_))->stats().entries, 100);
}

TEST_F(SeenSnapshot, IsValidIfCatalogueAndJournalHaveAdvanced) {
  Written(10);
  SnapshotBinding now = binding_;
  now.highest_id += 5;
  now.journal_next_offset += 5;
  EXPECT_TRUE(Read(now));
}

TEST_F(SeenSnapshot, IsRefusedIfItBelongsToAnotherStateAndSaysWhy) {
  Written(10);
  const auto refused = [&](auto change, std::string_view because) {
    SnapshotBinding now = binding_;
    change(now);
    const auto read = Read(now);
    ASSERT_FALSE(read) << because;
    EXPECT_EQ(read.error().code(), Errc::kInvalid);
    EXPECT_THAT(read.error().message(), HasSubstr(because));
  };
  refused([](auto& now) { now.catalog_uuid = "other"; }, "catalogue");
  refused([](auto& now) { now.journal_uuid = "other"; }, "journal");
  refused([](auto& now) { now.secret_check = 43; }, "identity.secret");
  refused([](auto& now) { now.activity_interval_s = 60; }, "activity_interval");
  refused([](auto& now) { now.highest_id = 999; }, "highest series id");
  refused([](auto& now) { now.journal_next_offset = 76; }, "journal offset");
}

TEST_F(SeenSnapshot, WithAnyByteChangedIsRefused) {
  Written(20);
  const std::string good = Bytes();
  // Each byte of the header, of the first shards and of the last; a sample of the shards between, which are all alike.
  for (size_t at = 0; at < good.size(); at += at < 512 || at + 64 > good.size() ? 1 : 13) {
    PutByte(at, static_cast<char>(good[at] ^ 0x10));
    const auto read = Read(binding_);
    PutByte(at, good[at]);
    ASSERT_FALSE(read) << at;
    ASSERT_THAT(read.error().code(), ::testing::AnyOf(Errc::kCorrupt, Errc::kInvalid)) << at;
  }
}

TEST_F(SeenSnapshot, TruncatedAnywhereIsRefused) {
  Written(20);
  const std::string good = Bytes();
  for (size_t length = good.size(); length-- > 0;) {
    std::filesystem::resize_file(path_, length);
    const auto read = Read(binding_);
    ASSERT_FALSE(read) << length;
    ASSERT_EQ(read.error().code(), Errc::kCorrupt) << length;
  }
  PutBytes(good + '\0');
  EXPECT_FALSE(Read(binding_));
}

TEST_F(SeenSnapshot, WithTwoShardsExchangedIsRefused) {
  Written(0);
  const std::string good = Bytes();
  auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock_);
  clock_.Advance(hours(1));
  ASSERT_TRUE(Write(*seen));
  std::string mixed = Bytes();
  mixed.replace(256, 32, good, 256, 32);  // a shard of another file, with a correct checksum
  PutBytes(mixed);
  EXPECT_EQ(Read(binding_).error().code(), Errc::kCorrupt);
}

TEST_F(SeenSnapshot, ThatIsMissingIsUnavailable) { EXPECT_EQ(Read(binding_).error().code(), Errc::kUnavailable); }

TEST_F(SeenSnapshot, WithoutABindingLeavesTheOldOneUnchanged) {
  Written(10);
  auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock_);
  const auto status = WriteSnapshot(
      *seen, path_, []() -> Result<SnapshotBinding> { return Fail(Errc::kUnavailable, "the catalogue is away"); });
  EXPECT_THAT(status.error().message(), HasSubstr("the catalogue is away"));
  EXPECT_EQ((*Read(binding_))->stats().entries, 10);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".tmp"));
}

TEST_F(SeenSnapshot, IntoAMissingDirectorySaysSo) {
  auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock_);
  const auto status =
      WriteSnapshot(*seen, directory_ + "/none/seen.snapshot", [&] { return Result<SnapshotBinding>(binding_); });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Errc::kUnavailable);
  EXPECT_THAT(status.error().message(), HasSubstr("none/seen.snapshot.tmp"));
}

TEST_F(SeenSnapshot, OnAFullDiskIsUnavailable) {
  auto seen = std::make_unique<SeenSet>(SeenOptions{}, clock_);
  std::filesystem::create_symlink("/dev/full", path_ + ".tmp");
  const auto status = Write(*seen);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Errc::kUnavailable);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace mi::dedupe
