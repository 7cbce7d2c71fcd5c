// The index between its real neighbours: the embedded journal and the SQLite catalogue.
#include <filesystem>
#include <future>
#include <random>
#include <set>
#include <thread>

#include "base/format.h"
#include "index/worker.h"
#include "model/identity.h"
#include "store/sqlite/catalog.h"
#include "store/testing/fatal_log.h"
#include "stream/journal/journal.h"
#include "support/power_cut_vfs.h"

namespace mi::index {
namespace {

using std::chrono::milliseconds;
using tests::PowerCutVfs;

model::SeriesBatch MakeBatch(uint64_t number, size_t count) {
  const model::Fingerprinter fingerprint("", model::Tenant());
  model::SeriesBatch batch(model::Tenant(), 1'700'000'000'000);
  for (size_t i = 0; i < count; ++i) {
    const std::string name = format("metric_{}", i);
    const std::string instance = format("host-{}:9100", number);
    const model::Label labels[] = {{model::kMetricName, name}, {"instance", instance}, {"job", "node"}};
    const model::Labels canonical = model::Labels::FromUnsorted(labels).value();
    batch.Add(fingerprint(canonical.canonical()), canonical.canonical());
  }
  return batch;
}

class JournalToSqliteTest : public testing::Test {
 protected:
  JournalToSqliteTest() {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  ~JournalToSqliteTest() override {
    Close();
    std::filesystem::remove_all(directory_);
  }

  // False when the power goes meanwhile.
  bool Open() {
    auto catalog = store::SqliteCatalog::Open(
        {.path = directory_ + "/catalog.db", .synchronous = catalog_synchronous_, .vfs = disk_.name()});
    if (!catalog) return false;
    auto store = catalog->OpenStore(store::IgnoreFatal);
    if (!store) return false;
    store_ = std::move(*store);
    auto journal =
        stream::Journal::Open({.path = directory_ + "/journal.db", .trim_after = milliseconds(0), .vfs = disk_.name()},
                              {clock_, *log_, *metrics_, [](const Error& error) { ADD_FAILURE() << error.message(); }});
    if (!journal) return false;
    journal_ = std::move(*journal);
    worker_.emplace(
        WorkerOptions{.max_wait = milliseconds(5),
                      .checkpoint_interval = milliseconds(20),
                      .min_retry = milliseconds(1),
                      .max_retry = milliseconds(2)},
        WorkerDeps{journal_->consumer(), *store_, nullptr, &activity_, clock_, *log_, *metrics_, store::IgnoreFatal});
    const bool sought = worker_->Seek().has_value();
    worker_->Start();
    return sought;
  }
  void Close() {
    if (journal_) journal_->Stop();
    worker_.reset();
    journal_.reset();
    store_.reset();
  }
  bool Publish(const model::SeriesBatch& batch) {
    std::promise<bool> durable;
    std::future<bool> answer = durable.get_future();
    journal_->publisher().Publish(std::make_shared<const model::SeriesBatch>(batch),
                                  [durable = std::move(durable)](const stream::PublishResult& result) mutable {
                                    durable.set_value(result.all_durable());
                                  });
    return answer.get();
  }
  void PublishAndRemember(const model::SeriesBatch& batch) {
    if (!Publish(batch)) return;
    MutexLock lock(mutex_);
    for (size_t i = 0; i < batch.size(); ++i) acknowledged_.insert(model::FormatIdentity(batch[i].labels));
  }
  void AwaitIndexed() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (journal_->consumer().CurrentLag().records > 0) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << worker_->Health().error().message();
      std::this_thread::yield();
    }
  }
  // What stands in the catalogue; fails the test when something stands there twice.
  std::set<std::string> Catalogued() {
    auto catalog = store::SqliteCatalog::Open({.path = directory_ + "/catalog.db", .vfs = disk_.name()}).value();
    const auto reader = catalog.OpenReader().value();
    std::set<std::string> contents;
    EXPECT_TRUE(reader->ReadSeries(0, [&](const store::StoredSeries& series) {
      EXPECT_TRUE(contents.emplace(series.content).second) << series.content << " stands there twice";
      return true;
    }));
    return contents;
  }
  void ExpectAcknowledgedInCatalogue() {
    const std::set<std::string> catalogued = Catalogued();
    MutexLock lock(mutex_);
    size_t missing = 0;
    for (const std::string& identity : acknowledged_) missing += catalogued.contains(identity) ? 0 : 1;
    EXPECT_EQ(missing, 0U) << "of " << acknowledged_.size();
  }

  const std::string directory_ =
      testing::TempDir() + "journal_to_sqlite." + testing::UnitTest::GetInstance()->current_test_info()->name();
  PowerCutVfs disk_{directory_};
  std::string catalog_synchronous_ = "full";
  SystemClock clock_;
  const std::unique_ptr<telemetry::Logger> log_ = telemetry::Logger::Null();
  const std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  stream::ActivityQueue activity_{1'000, *metrics_};
  std::unique_ptr<store::SeriesStore> store_;
  std::unique_ptr<stream::Journal> journal_;
  std::optional<Worker> worker_;
  Mutex mutex_;
  std::set<std::string> acknowledged_ GUARDED_BY(mutex_);
};

TEST_F(JournalToSqliteTest, IndexesConcurrentPublishesAndEmptiesTheJournal) {
  ASSERT_TRUE(Open());
  {
    std::vector<std::jthread> publishers;
    for (uint64_t t = 0; t < 4; ++t) {
      publishers.emplace_back([&, t] {
        // Neighbours overlap, as retries do.
        for (uint64_t i = 0; i < 25; ++i) PublishAndRemember(MakeBatch(t * 20 + i, 40));
      });
    }
  }
  AwaitIndexed();
  const std::set<std::string> catalogued = Catalogued();
  MutexLock lock(mutex_);
  EXPECT_EQ(catalogued, acknowledged_);
  EXPECT_EQ(catalogued.size(), 85U * 40);
}

TEST_F(JournalToSqliteTest, TrimsTheJournalOnceACheckpointCoversItsRows) {
  ASSERT_TRUE(Open());
  PublishAndRemember(MakeBatch(1, 1'000));
  AwaitIndexed();
  Close();
  std::filesystem::remove(directory_ + "/catalog.db");
  ASSERT_TRUE(Open());
  EXPECT_EQ(journal_->start().trimmed_unapplied, 1) << "what another catalogue would miss";
  EXPECT_EQ(journal_->consumer().CurrentLag().records, 0U);
}

TEST_F(JournalToSqliteTest, KeepsEveryAcknowledgedSeriesThroughPowerCuts) {
  uint64_t number = 0;
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    std::mt19937_64 random(seed);
    // normal: the catalogue may lose its last commits, but nothing that a checkpoint has covered.
    catalog_synchronous_ = random() % 2 == 0 ? "normal" : "full";
    disk_.CutAfter(50 + random() % 1'500);
    if (Open()) {
      while (!disk_.is_off()) PublishAndRemember(MakeBatch(++number, 1 + random() % 30));
    }
    Close();
    disk_.Restore(seed % 2 == 0 ? PowerCutVfs::Unsynced::kLost : PowerCutVfs::Unsynced::kRandomSectors, seed);
    ASSERT_TRUE(Open()) << "seed " << seed;
    EXPECT_EQ(journal_->start().trimmed_unapplied, 0) << "seed " << seed;
    EXPECT_EQ(journal_->start().store_ahead, 0) << "seed " << seed;
    AwaitIndexed();
    Close();
    ExpectAcknowledgedInCatalogue();
    if (HasFailure()) FAIL() << "seed " << seed;
  }
  MutexLock lock(mutex_);
  EXPECT_GT(acknowledged_.size(), 1'000U);
}

TEST_F(JournalToSqliteTest, ReplaysTheJournalIntoAnOlderCatalogue) {
  const std::string path = directory_ + "/catalog.db";
  ASSERT_TRUE(Open());
  PublishAndRemember(MakeBatch(1, 10));
  AwaitIndexed();
  Close();
  std::filesystem::copy_file(path, directory_ + "/backup.db");
  ASSERT_TRUE(Open());
  worker_.reset();  // nothing is released from here on
  PublishAndRemember(MakeBatch(2, 10));
  Close();
  std::filesystem::rename(directory_ + "/backup.db", path);
  ASSERT_TRUE(Open());
  AwaitIndexed();
  ExpectAcknowledgedInCatalogue();
}

}  // namespace
}  // namespace mi::index
