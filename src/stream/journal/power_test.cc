// The journal on a disk whose power is cut: everything that was acknowledged must still exist afterwards.
#include <filesystem>
#include <random>
#include <set>
#include <thread>

#include "base/format.h"
#include "stream/journal/journal.h"
#include "stream/testing/contract_test.h"
#include "support/power_cut_vfs.h"

namespace mi::stream {
namespace {

using std::chrono::milliseconds;
using tests::PowerCutVfs;

class JournalPowerTest : public testing::Test {
 protected:
  JournalPowerTest() {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    options_.path = directory_ + "/journal.db";
    options_.vfs = disk_.name();
    options_.trim_after = milliseconds(0);
    options_.retry_interval = milliseconds(1);
  }
  ~JournalPowerTest() override {
    journal_.reset();
    std::filesystem::remove_all(directory_);
  }

  bool Open() {
    auto journal = Journal::Open(
        options_, {clock_, *log_, *metrics_, [](const Error& error) { ADD_FAILURE() << error.message(); }});
    if (!journal) return false;
    journal_ = std::move(*journal);
    return journal_->consumer().Start(stored_.Lookup()).has_value();
  }
  bool Reopen() {
    journal_.reset();
    return Open();
  }
  // Publishes batches of random size until the power is gone, and reads some of them meanwhile.
  void WorkUntilTheCut(std::mt19937_64& random) {
    while (!disk_.is_off()) {
      model::SeriesBatch batch = MakeBatch(format("m{}", next_batch_++), 1 + random() % 50);
      const std::vector<std::string> identities = Identities(batch);
      if (PublishAndWait(journal_->publisher(), std::move(batch)).all_durable()) {
        acknowledged_.insert(identities.begin(), identities.end());
      }
      if (random() % 4 == 0) Apply();
    }
  }
  // Acts like a store that survives any power cut: releases everything that it has applied.
  void Apply() {
    const Result<Polled> polled = journal_->consumer().Poll(100'000, milliseconds(0));
    if (!polled || polled->empty()) return;
    ASSERT_EQ(polled->poison.size(), 0U) << polled->poison[0].reason;
    for (const std::string& identity : Identities(polled->batches)) catalogued_.insert(identity);
    for (const StreamPosition& next : polled->next) {
      EXPECT_GT(next.next_offset, highest_offset_) << "an offset was used twice";
      highest_offset_ = next.next_offset;
    }
    stored_.Store(*polled);
    journal_->consumer().Release(stored_.all());
  }
  void AwaitHealth() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!journal_->publisher().Health()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::yield();
    }
  }
  size_t Missing() const {
    return static_cast<size_t>(
        std::ranges::count_if(acknowledged_, [&](const std::string& s) { return !catalogued_.contains(s); }));
  }

  const std::string directory_ =
      testing::TempDir() + "journal_power." + testing::UnitTest::GetInstance()->current_test_info()->name();
  PowerCutVfs disk_{directory_};
  JournalOptions options_;
  SystemClock clock_;
  const std::unique_ptr<telemetry::Logger> log_ = telemetry::Logger::Null();
  const std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  StoredPositions stored_;
  std::unique_ptr<Journal> journal_;
  std::set<std::string> acknowledged_;
  std::set<std::string> catalogued_;
  int next_batch_ = 0;
  int64_t highest_offset_ = 0;
};

TEST_F(JournalPowerTest, KeepsAllThatWasAcknowledgedWhereverThePowerIsCut) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    disk_.CutAfter(1 + random() % 400);
    if (Open()) WorkUntilTheCut(random);
    journal_.reset();
    disk_.Restore(seed % 2 == 0 ? PowerCutVfs::Unsynced::kLost : PowerCutVfs::Unsynced::kRandomSectors, seed);
    ASSERT_TRUE(Open()) << "seed " << seed;
    ASSERT_EQ(journal_->start().store_ahead, 0) << "seed " << seed;
    ASSERT_EQ(journal_->start().trimmed_unapplied, 0) << "seed " << seed;
    const int64_t end = journal_->End().next_offset;
    while (journal_->consumer().CurrentLag().records > 0) Apply();
    ASSERT_EQ(Missing(), 0U) << "seed " << seed;
    ASSERT_LE(highest_offset_, end);
    journal_.reset();
  }
  EXPECT_GT(acknowledged_.size(), 1'000U);
}

TEST_F(JournalPowerTest, KeepsAllThatWasAcknowledgedWhenACheckpointIsCut) {
  // Large batches, so that the WAL is moved into the file again and again.
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    std::mt19937_64 random(seed);
    ASSERT_TRUE(Open());
    disk_.CutAfter(8'000 + random() % 8'000);
    while (!disk_.is_off()) {
      model::SeriesBatch batch = MakeIncompressibleBatch(256 << 10, random());
      const std::string first = Identities(batch).front();
      if (PublishAndWait(journal_->publisher(), std::move(batch)).all_durable()) acknowledged_.insert(first);
      if (random() % 4 == 0) Apply();
    }
    journal_.reset();
    disk_.Restore(PowerCutVfs::Unsynced::kRandomSectors, seed);
    ASSERT_TRUE(Open());
    while (journal_->consumer().CurrentLag().records > 0) Apply();
    ASSERT_EQ(Missing(), 0U) << "seed " << seed;
    journal_.reset();
  }
}

// Proves that the disk of these tests loses what was not synced.
TEST_F(JournalPowerTest, LosesAcknowledgedBatchesWithoutSyncing) {
  options_.synchronous = "off";
  ASSERT_TRUE(Open());
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(PublishAndWait(journal_->publisher(), MakeBatch(format("m{}", i), 1)).all_durable());
  }
  disk_.Cut();
  EXPECT_FALSE(PublishAndWait(journal_->publisher(), MakeBatch("dark", 1)).all_durable());
  journal_.reset();
  disk_.Restore(PowerCutVfs::Unsynced::kLost);
  options_.synchronous = "full";
  ASSERT_TRUE(Open());
  EXPECT_EQ(journal_->consumer().CurrentLag().records, 0U);
}

TEST_F(JournalPowerTest, ReadsEverythingAgainWhenUnsyncedRowsWereAppliedAndThenLost) {
  ASSERT_TRUE(Open());
  EXPECT_TRUE(PublishAndWait(journal_->publisher(), MakeBatch("synced", 1)).all_durable());
  journal_.reset();
  options_.synchronous = "off";
  ASSERT_TRUE(Open());
  EXPECT_TRUE(PublishAndWait(journal_->publisher(), MakeBatch("lost", 1)).all_durable());
  const Polled polled = journal_->consumer().Poll(100, milliseconds(20'000)).value();
  stored_.Store(polled);
  disk_.Cut();
  journal_.reset();
  disk_.Restore(PowerCutVfs::Unsynced::kLost);
  options_.synchronous = "full";
  ASSERT_TRUE(Open());
  EXPECT_EQ(journal_->start().store_ahead, 1);
  EXPECT_TRUE(PublishAndWait(journal_->publisher(), MakeBatch("after", 1)).all_durable());
  const Polled again = journal_->consumer().Poll(100, milliseconds(20'000)).value();
  EXPECT_THAT(Identities(again.batches),
              testing::ElementsAre("synced_0{job=\"contract\"}", "after_0{job=\"contract\"}"));
}

TEST_F(JournalPowerTest, RefusesWhenTheDiskIsFullAndRecoversByItself) {
  ASSERT_TRUE(Open());
  EXPECT_TRUE(PublishAndWait(journal_->publisher(), MakeBatch("before", 100)).all_durable());
  disk_.SetDiskFull(true);
  PublishResult result;
  for (int i = 0; i < 10'000; ++i) {  // the first rows still fit into the space that the WAL has
    result = PublishAndWait(journal_->publisher(), MakeBatch(format("m{}", i), 2'000));
    if (!result.all_durable()) break;
  }
  ASSERT_FALSE(result.all_durable());
  EXPECT_EQ(result.failures[0].error.code(), Errc::kOverloaded);
  EXPECT_THAT(result.failures[0].error.message(), testing::HasSubstr("full"));
  disk_.SetDiskFull(false);
  AwaitHealth();
  EXPECT_TRUE(PublishAndWait(journal_->publisher(), MakeBatch("after", 100)).all_durable());
}

TEST_F(JournalPowerTest, KnowsThatTheDiskIsFullBeforeTheFirstBatchAndRecoversByItself) {
  ASSERT_TRUE(Open());
  EXPECT_TRUE(PublishAndWait(journal_->publisher(), MakeBatch("before", 100)).all_durable());
  journal_.reset();
  disk_.SetDiskFull(true);
  ASSERT_TRUE(Open());
  EXPECT_EQ(journal_->publisher().Health().error().code(), Errc::kOverloaded);
  disk_.SetDiskFull(false);
  AwaitHealth();
}

TEST_F(JournalPowerTest, ReusesItsOwnSpaceWhenTheDiskIsFull) {
  ASSERT_TRUE(Open());
  const model::SeriesBatch batch = MakeIncompressibleBatch(256 << 10, 1);
  const auto publish = [&] { return PublishAndWait(journal_->publisher(), batch).all_durable(); };
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(publish());
  while (journal_->consumer().CurrentLag().records > 0) Apply();
  ASSERT_TRUE(Reopen());  // this moves the WAL into the file and deletes it
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(publish());
    Apply();
  }
  disk_.SetDiskFull(true);
  // More than file and WAL hold, so it succeeds only if the space of both is reused.
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(publish()) << i;
    Apply();
  }
}

}  // namespace
}  // namespace mi::stream
