#include "index/worker.h"

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "base/format.h"
#include "model/identity.h"
#include "store/testing/fake_store.h"
#include "store/testing/fatal_log.h"
#include "stream/testing/fake_stream.h"

namespace mi::index {
namespace {

using std::chrono::milliseconds;
using store::FakeCatalog;
using stream::FakeStream;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;
using StoreCall = store::FakeCall;
using StreamCall = stream::FakeCall;

constexpr milliseconds kPatience{20'000};

model::SeriesBatch MakeBatch(std::string_view prefix, size_t count, int64_t seen_at_ms = 1'000,
                             std::string_view tenant_name = "") {
  const model::Tenant tenant = model::Tenant::Parse(tenant_name).value();
  const model::Fingerprinter fingerprint("", tenant);
  model::SeriesBatch batch(tenant, seen_at_ms);
  for (size_t i = 0; i < count; ++i) {
    const std::string name = format("{}_{}", prefix, i);
    const model::Label labels[] = {{model::kMetricName, name}};
    const model::Labels canonical = model::Labels::FromUnsorted(labels).value();
    batch.Add(fingerprint(canonical.canonical()), canonical.canonical());
  }
  return batch;
}

// A store that refuses for good whatever has a certain series in it, or a certain family in its metadata, and may be
// too slow for many series at once.
class PickyStore final : public store::SeriesStore {
 public:
  explicit PickyStore(std::unique_ptr<store::SeriesStore> inner) : inner_(std::move(inner)) {}
  void Refuse(std::string name) { refused_.insert(std::move(name)); }
  // With more than `series` series, a call moves the clock by `takes` and fails.
  void FailAbove(size_t series, Error error, ManualClock& clock, std::chrono::seconds takes) {
    fault_ = [=, &clock](size_t wanted) -> Status {
      if (wanted <= series) return {};
      clock.Advance(takes);
      return Fail(error);
    };
  }
  // Is away while `away` is true, which is asked with each call.
  void FailWhile(std::function<bool()> away) {
    fault_ = [away = std::move(away)](size_t) -> Status {
      if (away()) return Fail(Errc::kUnavailable, "connection refused");
      return {};
    };
  }
  std::atomic<size_t> largest{0};  // number of series that were applied at once

  Result<store::ApplyResult> Apply(std::span<const model::SeriesBatch> batches,
                                   std::span<const model::StreamPosition> positions) override {
    for (const model::SeriesBatch& batch : batches) {
      for (size_t i = 0; i < batch.size(); ++i) {
        if (refused_.contains(std::string(batch[i].labels.metric_name()))) return Fail(Errc::kTooLarge, "too long");
      }
      for (const model::MetricMetadata& m : batch.metadata()) {
        if (refused_.contains(m.family)) return Fail(Errc::kInvalid, "no such family");
      }
    }
    size_t series = 0;
    for (const model::SeriesBatch& batch : batches) series += batch.size();
    if (fault_) TRY(fault_(series));
    largest = std::max(largest.load(), series);
    return inner_->Apply(batches, positions);
  }
  Result<std::vector<store::SeenUpdate>> ApplyActivity(std::span<const model::ActivityBatch> batches) override {
    return inner_->ApplyActivity(batches);
  }
  Result<std::optional<int64_t>> Position(const std::string& stream, int32_t partition) override {
    return inner_->Position(stream, partition);
  }
  Result<std::vector<model::StreamPosition>> Checkpoint() override { return inner_->Checkpoint(); }

 private:
  std::unique_ptr<store::SeriesStore> inner_;
  std::set<std::string> refused_;
  std::function<Status(size_t)> fault_;
};

// Remembers what it was told, and can be waited for.
class Recorder final : public IndexListener {
 public:
  void OnApplied(std::span<const model::SeriesBatch> batches, const store::ApplyResult& applied) override {
    MutexLock lock(mutex_);
    for (const store::InsertedSeries& s : applied.inserted) {
      inserted_.push_back(model::FormatIdentity(batches[s.batch][s.index].labels));
    }
    ++calls_;
    if (during_apply_) during_apply_();
  }
  void OnSeenUpdated(std::span<const store::SeenUpdate> updates) override {
    MutexLock lock(mutex_);
    for (const store::SeenUpdate& update : updates) seen_[update.id] = update.last_seen_ms;
  }
  void DuringApply(std::function<void()> action) { during_apply_ = std::move(action); }
  std::vector<std::string> inserted() const {
    MutexLock lock(mutex_);
    return inserted_;
  }
  std::map<uint64_t, int64_t> seen() const {
    MutexLock lock(mutex_);
    return seen_;
  }
  int calls() const {
    MutexLock lock(mutex_);
    return calls_;
  }

 private:
  std::function<void()> during_apply_;
  mutable Mutex mutex_;
  std::vector<std::string> inserted_ GUARDED_BY(mutex_);
  std::map<uint64_t, int64_t> seen_ GUARDED_BY(mutex_);
  int calls_ GUARDED_BY(mutex_) = 0;
};

class WorkerTest : public testing::Test {
 protected:
  WorkerTest() {
    options_.min_retry = milliseconds(1);
    options_.max_retry = milliseconds(2);
    options_.max_wait = milliseconds(5);
  }

  void StartWorker() {
    worker_.emplace(
        options_, WorkerDeps{*consumer_, *store_, &listener_, &activity_, clock_, *log_, *metrics_, fatal_.Handler()});
    worker_->Start();
  }
  // As a new process would: with a store and a consumer that know nothing of before.
  void RestartWorker() {
    worker_.reset();
    consumer_ = stream_.OpenConsumer();
    store_ = std::make_unique<PickyStore>(catalog_.OpenStore());
    StartWorker();
  }
  void Await(const std::function<bool()>& holds) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!holds()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::yield();
    }
  }
  // Until everything before now has been released: applied, and covered by a checkpoint.
  void AwaitReleased() {
    const int64_t end = stream_.end();
    Await([&] { return stream_.released() == end; });
  }
  std::vector<std::string> Catalogued() const {
    std::vector<std::string> contents;
    for (const auto& [id, row] : catalog_.rows()) contents.push_back(row.content);
    return contents;
  }
  int64_t StoredPosition() { return catalog_.OpenStore()->Position("fake", 0).value().value_or(0); }
  double Count(std::string_view name, const telemetry::MetricLabels& labels = {}) {
    return metrics_->GetCounter(name, "", labels).Value();
  }
  double Letters(std::string_view reason) {
    return Count("index_dead_letters_total", {{"reason", std::string(reason)}});
  }

  WorkerOptions options_;
  FakeStream stream_;
  FakeCatalog catalog_;
  Recorder listener_;
  ManualClock clock_;
  store::FatalLog fatal_;
  const std::unique_ptr<telemetry::Logger> log_ = telemetry::Logger::Null();
  const std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  stream::ActivityQueue activity_{1'000, *metrics_};
  std::unique_ptr<stream::SeriesConsumer> consumer_ = stream_.OpenConsumer();
  std::unique_ptr<PickyStore> store_ = std::make_unique<PickyStore>(catalog_.OpenStore());
  std::optional<Worker> worker_;
};

TEST_F(WorkerTest, AppliesInOrderTellsTheListenerAndReleasesWhatACheckpointCovers) {
  stream_.Append(MakeBatch("a", 2));
  StartWorker();
  stream_.Append(MakeBatch("b", 1));
  AwaitReleased();
  EXPECT_THAT(Catalogued(), ElementsAre("a_0{}", "a_1{}", "b_0{}"));
  EXPECT_EQ(listener_.inserted(), Catalogued());
  EXPECT_EQ(StoredPosition(), stream_.end());
  EXPECT_EQ(Count("index_series_total", {{"result", "inserted"}}), 3);
  stream_.Append(MakeBatch("a", 2));
  AwaitReleased();
  EXPECT_EQ(Count("index_series_total", {{"result", "existing"}}), 2);
}

TEST_F(WorkerTest, BeginsWhereTheStoreLeftOff) {
  stream_.Append(MakeBatch("applied", 1));
  const model::StreamPosition behind_it{"fake", 0, stream_.end()};
  ASSERT_TRUE(catalog_.OpenStore()->Apply({}, std::span(&behind_it, 1)));
  stream_.Append(MakeBatch("new", 1));
  StartWorker();
  AwaitReleased();
  EXPECT_THAT(Catalogued(), ElementsAre("new_0{}"));
}

TEST_F(WorkerTest, CallsTheFatalHandlerAfterARestoreAndANewProcessReadsAgain) {
  catalog_.HoldCheckpoints(true);  // the stream keeps what was applied, as a topic does
  for (const bool more_comes : {true, false}) {
    SCOPED_TRACE(more_comes);
    stream_.Append(MakeBatch(format("a{:d}", more_comes), 1));
    if (!worker_) StartWorker();
    Await([&] { return StoredPosition() == stream_.end(); });
    const auto yesterday = catalog_.Copy();
    stream_.Append(MakeBatch(format("b{:d}", more_comes), 1));
    Await([&] { return StoredPosition() == stream_.end(); });
    const size_t before = catalog_.fatal_messages().size();
    catalog_.Restore(yesterday);
    if (more_comes) {
      stream_.Append(MakeBatch("c", 1));
    } else {
      clock_.Advance(options_.position_interval);
    }
    Await([&] { return catalog_.fatal_messages().size() > before; });
    RestartWorker();
    Await([&] { return StoredPosition() == stream_.end(); });
  }
  EXPECT_THAT(Catalogued(), UnorderedElementsAre("a1_0{}", "b1_0{}", "c_0{}", "a0_0{}", "b0_0{}"));
}

TEST_F(WorkerTest, ReportsThatTheStoreIsAwayEvenIfNothingComes) {
  stream_.Append(MakeBatch("a", 1));
  StartWorker();
  AwaitReleased();
  catalog_.FailAlways(StoreCall::kPosition, Error(Errc::kUnavailable, "gone"));
  clock_.Advance(options_.position_interval);
  Await([&] { return !worker_->Health(); });
  catalog_.Recover();
  clock_.Advance(options_.position_interval);
  Await([&] { return worker_->Health().has_value(); });
}

TEST_F(WorkerTest, ReportsThatRecordsWaitAndNoneWasAppliedForAMinute) {
  StartWorker();
  clock_.Advance(2 * options_.stall_after);
  EXPECT_TRUE(worker_->Progress()) << "nothing waits";
  const int polls = stream_.calls(StreamCall::kPoll);
  Await([&] { return stream_.calls(StreamCall::kPoll) > polls + 1; });
  catalog_.FailAlways(StoreCall::kApply, Error(Errc::kUnavailable, "database is locked"));
  stream_.Append(MakeBatch("a", 3));
  Await([&] { return !worker_->Health(); });
  EXPECT_TRUE(worker_->Progress()) << "it may work again soon";
  clock_.Advance(2 * options_.stall_after);
  ASSERT_FALSE(worker_->Progress());
  EXPECT_THAT(
      worker_->Progress().error().message(),
      AllOf(HasSubstr("nothing was applied for 1"), HasSubstr("3 records wait"), HasSubstr("database is locked")));
  catalog_.Recover();
  Await([&] { return worker_->Progress().has_value(); });
}

TEST_F(WorkerTest, SeekReturnsTheErrorAndIsNotRepeatedAtTheStart) {
  worker_.emplace(options_,
                  WorkerDeps{*consumer_, *store_, &listener_, &activity_, clock_, *log_, *metrics_, fatal_.Handler()});
  catalog_.Fail(StoreCall::kPosition, 1, Error(Errc::kUnavailable, "gone"));
  EXPECT_EQ(worker_->Seek().error().code(), Errc::kUnavailable);
  EXPECT_TRUE(worker_->Seek());
  const int calls = catalog_.calls(StoreCall::kPosition);
  worker_->Start();
  stream_.Append(MakeBatch("a", 1));
  AwaitReleased();
  EXPECT_EQ(catalog_.calls(StoreCall::kPosition), calls);
}

TEST_F(WorkerTest, RepeatsTheSeekUntilTheStoreAnswers) {
  stream_.Append(MakeBatch("a", 1));
  catalog_.FailAlways(StoreCall::kPosition, Error(Errc::kUnavailable, "gone"));
  StartWorker();
  Await([&] { return catalog_.calls(StoreCall::kPosition) > 3; });
  EXPECT_FALSE(worker_->Health());
  catalog_.Recover();
  AwaitReleased();
  EXPECT_TRUE(worker_->Health());
}

TEST_F(WorkerTest, NeverPassesAFailureAndRecoversByItself) {
  for (const Errc code : {Errc::kUnavailable, Errc::kOverloaded, Errc::kInternal}) {
    catalog_.FailAlways(StoreCall::kApply, Error(code, "cannot"));
    const int64_t before = stream_.end();
    const int calls = catalog_.calls(StoreCall::kApply);
    stream_.Append(MakeBatch(ToString(code), 1));
    if (!worker_) StartWorker();
    Await([&] { return catalog_.calls(StoreCall::kApply) > calls + 3; });
    stream_.Append(MakeBatch(format("after {}", ToString(code)), 1));
    EXPECT_FALSE(worker_->Health());
    EXPECT_EQ(metrics_->GetGauge("store_up", "").Value(), 0);
    EXPECT_GE(Count("store_errors_total", {{"kind", std::string(ToString(code))}}), 3);
    EXPECT_LE(stream_.released(), before);
    catalog_.Recover();
    AwaitReleased();
    EXPECT_TRUE(worker_->Health());
    EXPECT_EQ(metrics_->GetGauge("store_up", "").Value(), 1);
  }
  EXPECT_THAT(Catalogued(), SizeIs(6));
  EXPECT_THAT(stream_.dead_letters(), IsEmpty());
}

TEST_F(WorkerTest, LeavesTheStoreMetricsToAStoreThatKeepsThem) {
  options_.store_figures = StoreFigures::kByStore;
  catalog_.Fail(StoreCall::kApply, 1, Error(Errc::kUnavailable, "gone"));
  stream_.Append(MakeBatch("a", 1));
  StartWorker();
  AwaitReleased();
  EXPECT_THAT(metrics_->Render(), testing::Not(HasSubstr("metric_index_store_")));
}

TEST_F(WorkerTest, ReplaysACommitWhoseAnswerWasLost) {
  catalog_.Fail(StoreCall::kApply, 1, Error(Errc::kUnavailable, "lost connection"), store::FakeOutcome::kApplied);
  stream_.Append(MakeBatch("a", 2));
  StartWorker();
  AwaitReleased();
  EXPECT_THAT(Catalogued(), SizeIs(2));
}

TEST_F(WorkerTest, WritesDeadLettersBeforeThePositionPassesThem) {
  stream_.Append(MakeBatch("before", 1));
  stream_.AppendPoison("no batch", "checksum");
  stream_.Append(MakeBatch("after", 1));
  stream_.FailAlways(StreamCall::kDeadLetter, Error(Errc::kOverloaded, "disk full"));
  StartWorker();
  Await([&] { return stream_.calls(StreamCall::kDeadLetter) > 3; });
  EXPECT_EQ(StoredPosition(), 0);
  EXPECT_EQ(Letters("undecodable"), 0);
  stream_.Recover();
  AwaitReleased();
  EXPECT_THAT(Catalogued(), ElementsAre("before_0{}", "after_0{}"));
  ASSERT_THAT(stream_.dead_letters(), SizeIs(1));
  EXPECT_EQ(stream_.dead_letters()[0].bytes, "no batch");
  EXPECT_EQ(stream_.dead_letters()[0].reason, "checksum");
  EXPECT_EQ(stream_.dead_letters()[0].at.next_offset, FakeStream::kFirstOffset + 2);
  EXPECT_EQ(Letters("undecodable"), 1);
}

TEST_F(WorkerTest, PutsAsideOnlyTheRecordsThatTheStoreRefuses) {
  store_->Refuse("b_7");
  store_->Refuse("b_8");
  store_->Refuse("broken");
  model::SeriesBatch batch = MakeBatch("b", 20, 1'000, "team-a");
  batch.AddMetadata({.family = "fine", .type = "gauge", .help = "", .unit = ""});
  batch.AddMetadata({.family = "broken", .type = "gauge", .help = "", .unit = ""});
  stream_.Append(MakeBatch("a", 5));
  stream_.Append(std::move(batch));
  stream_.Append(MakeBatch("c", 5));
  StartWorker();
  AwaitReleased();
  EXPECT_THAT(Catalogued(), SizeIs(28));
  std::vector<std::string> letters;
  for (const stream::PoisonRecord& record : stream_.dead_letters()) letters.push_back(record.bytes);
  EXPECT_THAT(letters, UnorderedElementsAre("team-a|b_7{}", "team-a|b_8{}", HasSubstr("metadata of broken")));
  const stream::PoisonRecord first = stream_.dead_letters()[0];
  EXPECT_EQ(first.reason, "too long");
  EXPECT_EQ(first.at.next_offset, FakeStream::kFirstOffset + 2) << "its own, not that of the poll";
  EXPECT_EQ((*first.record)[0].labels.metric_name(), "b_7");
  EXPECT_EQ(Letters("refused"), 3);
  EXPECT_EQ(StoredPosition(), stream_.end());
  EXPECT_TRUE(worker_->Health());
  std::vector<store::StoredMetadata> metadata;
  ASSERT_TRUE(catalog_.OpenReader()->ReadMetadata([&](const store::StoredMetadata& m) {
    metadata.push_back(m);
    return true;
  }));
  EXPECT_THAT(metadata, SizeIs(1));
}

TEST_F(WorkerTest, ContinuesHalvingAfterTheStoreWasAway) {
  store_->Refuse("a_3");
  catalog_.Fail(StoreCall::kApply, 2, Error(Errc::kUnavailable, "gone"));
  stream_.Append(MakeBatch("a", 8));
  StartWorker();
  AwaitReleased();
  EXPECT_THAT(Catalogued(), SizeIs(7));
  EXPECT_THAT(stream_.dead_letters(), SizeIs(1));
}

TEST_F(WorkerTest, HalvesBatchesThatTheStoreIsOverloadedWith) {
  for (const auto takes : {std::chrono::seconds(15), std::chrono::seconds(0)}) {
    const Error error(Errc::kOverloaded, "a transaction took too long");
    worker_.reset();
    consumer_ = stream_.OpenConsumer();
    store_ = std::make_unique<PickyStore>(catalog_.OpenStore());
    store_->FailAbove(30, error, clock_, takes);
    const size_t before = catalog_.rows().size();
    for (int i = 0; i < 10; ++i) stream_.Append(MakeBatch(format("{}_{}", takes.count(), i), 101));
    StartWorker();
    AwaitReleased();
    EXPECT_THAT(Catalogued(), SizeIs(before + 1'010));
    EXPECT_EQ(StoredPosition(), stream_.end());
    EXPECT_LE(store_->largest, 30U);
    EXPECT_LE(metrics_->GetGauge("index_batch_limit", "").Value(), 32);
  }
  EXPECT_THAT(stream_.dead_letters(), IsEmpty());
}

TEST_F(WorkerTest, BatchesGrowAgainOnceTheStoreIsFast) {
  store_->FailAbove(100, Error(Errc::kOverloaded, "a transaction took 15001 ms"), clock_, std::chrono::seconds(15));
  size_t slow = 0;
  listener_.DuringApply([&] {
    if (slow > 0) return;
    slow = store_->largest;
    store_->FailAbove(SIZE_MAX, Error(Errc::kInternal, ""), clock_, {});
  });
  for (int i = 0; i < 4'000; ++i) stream_.Append(MakeBatch(format("m{}", i), 10));
  StartWorker();
  AwaitReleased();
  EXPECT_LE(slow, 100U);
  EXPECT_GE(store_->largest, 500U);
}

// Connecting may take seconds before it fails.
TEST_F(WorkerTest, DoesNotMakeBatchesSmallerBecauseTheStoreIsAway) {
  std::atomic<int> attempts = 0;
  store_->FailWhile([&] {
    clock_.Advance(std::chrono::seconds(5));
    return ++attempts <= 5;
  });
  stream_.Append(MakeBatch("a", 100));
  StartWorker();
  AwaitReleased();
  EXPECT_EQ(store_->largest, 100U);
}

TEST_F(WorkerTest, EndsIfTheStoreIsDamaged) {
  catalog_.FailAlways(StoreCall::kApply, Error(Errc::kCorrupt, "table 'metric' is marked as crashed"));
  stream_.Append(MakeBatch("a", 1));
  StartWorker();
  Await([&] { return !fatal_.messages().empty(); });
  worker_->Stop();
  EXPECT_THAT(fatal_.messages(), ElementsAre(AllOf(HasSubstr("index: apply"), HasSubstr("marked as crashed"))));
  EXPECT_EQ(catalog_.calls(StoreCall::kApply), 1);
}

TEST_F(WorkerTest, RefusesACollisionAndKeepsBothContents) {
  stream_.Append(MakeBatch("known", 1));
  model::SeriesBatch impostor{model::Tenant(), 1'000};
  impostor.Add(MakeBatch("known", 1)[0].fingerprint, MakeBatch("other", 1)[0].labels.canonical());
  stream_.Append(std::move(impostor));
  StartWorker();
  AwaitReleased();
  EXPECT_THAT(Catalogued(), ElementsAre("known_0{}"));
  Await([&] { return Letters("collision") == 1; });
  EXPECT_EQ(stream_.dead_letters()[0].bytes, "other_0{}");
  EXPECT_EQ(stream_.dead_letters()[0].at.next_offset, FakeStream::kFirstOffset + 2);
  EXPECT_THAT(stream_.dead_letters()[0].reason, HasSubstr("known_0{}"));
  EXPECT_EQ(Count("index_series_total", {{"result", "refused"}}), 1);
}

TEST_F(WorkerTest, AppliesActivityAndTellsTheListener) {
  StartWorker();
  stream_.Append(MakeBatch("a", 1));
  AwaitReleased();
  activity_.PublishActivity({9'000, {MakeBatch("a", 1)[0].fingerprint, MakeBatch("unknown", 1)[0].fingerprint}});
  Await([&] { return listener_.seen() == std::map<uint64_t, int64_t>{{1, 9'000}}; });
  EXPECT_EQ(catalog_.rows().at(1).last_seen_ms, 9'000);
}

TEST_F(WorkerTest, KeepsActivityThatFailedAndContinuesWithSeries) {
  StartWorker();
  stream_.Append(MakeBatch("a", 1));
  AwaitReleased();
  catalog_.FailAlways(StoreCall::kApplyActivity, Error(Errc::kUnavailable, "locked"));
  activity_.PublishActivity({9'000, {MakeBatch("a", 1)[0].fingerprint}});
  Await([&] { return catalog_.calls(StoreCall::kApplyActivity) > 2; });
  stream_.Append(MakeBatch("b", 1));
  Await([&] { return catalog_.rows().size() == 2; });
  catalog_.Recover();
  Await([&] { return !listener_.seen().empty(); });
}

TEST_F(WorkerTest, StarvesNeitherActivityNorSeries) {
  options_.activity_chunk = 1;
  options_.max_series = 1;
  for (int i = 0; i < 50; ++i) {
    stream_.Append(MakeBatch(format("m{}", i), 1));
    activity_.PublishActivity({9'000, {MakeBatch("m0", 1)[0].fingerprint}});
  }
  StartWorker();
  AwaitReleased();
  Await([&] { return activity_.size() == 0; });
  // The clock stands still, so that neither has used any time: they take turns.
  EXPECT_NEAR(catalog_.calls(StoreCall::kApplyActivity), catalog_.calls(StoreCall::kApply), 2);
}

TEST_F(WorkerTest, ReleasesNothingThatNoCheckpointCovers) {
  catalog_.HoldCheckpoints(true);
  StartWorker();
  stream_.Append(MakeBatch("a", 1));
  Await([&] { return catalog_.calls(StoreCall::kCheckpoint) > 2; });
  EXPECT_EQ(stream_.released(), FakeStream::kFirstOffset);
  catalog_.HoldCheckpoints(false);
  AwaitReleased();
  catalog_.Fail(StoreCall::kCheckpoint, 1, Error(Errc::kUnavailable, "disk"));
  stream_.Append(MakeBatch("b", 1));
  AwaitReleased();
  EXPECT_EQ(Count("store_errors_total", {{"kind", "unavailable"}}), 1);
}

TEST_F(WorkerTest, MakesCheckpointsByNumberWhileItIsBusy) {
  options_.max_series = 1;
  options_.checkpoint_series = 10;
  for (int i = 0; i < 100; ++i) stream_.Append(MakeBatch(format("m{}", i), 1));
  StartWorker();
  AwaitReleased();
  EXPECT_GE(catalog_.calls(StoreCall::kCheckpoint), 10);
  EXPECT_LE(catalog_.calls(StoreCall::kCheckpoint), 13);
}

TEST_F(WorkerTest, MakesCheckpointsByTimeWhileItIsBusy) {
  options_.max_series = 1;
  options_.checkpoint_interval = std::chrono::seconds(10);
  listener_.DuringApply([&] { clock_.Advance(std::chrono::seconds(1)); });
  for (int i = 0; i < 100; ++i) stream_.Append(MakeBatch(format("m{}", i), 1));
  StartWorker();
  AwaitReleased();
  EXPECT_GE(catalog_.calls(StoreCall::kCheckpoint), 10);
  EXPECT_LE(catalog_.calls(StoreCall::kCheckpoint), 13);
}

TEST_F(WorkerTest, MakesOneMoreCheckpointWhenAllIsQuiet) {
  options_.checkpoint_interval = std::chrono::seconds(10);
  options_.max_wait = milliseconds(1);
  stream_.Append(MakeBatch("a", 3));
  StartWorker();
  AwaitReleased();
  const int busy = catalog_.calls(StoreCall::kCheckpoint);
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(std::chrono::seconds(11));
    Await([&] { return catalog_.calls(StoreCall::kCheckpoint) > busy; });
    const int polls = stream_.calls(StreamCall::kPoll);
    Await([&] { return stream_.calls(StreamCall::kPoll) > polls + 2; });
    EXPECT_EQ(catalog_.calls(StoreCall::kCheckpoint), busy + 1);
  }
}

TEST_F(WorkerTest, StopFinishesTheTransactionAndReleasesIt) {
  stream_.Append(MakeBatch("a", 1));
  options_.max_wait = kPatience * 10;
  StartWorker();
  Await([&] { return listener_.calls() == 1; });
  activity_.PublishActivity({9'000, {MakeBatch("a", 1)[0].fingerprint}});
  worker_->Stop();
  EXPECT_EQ(stream_.released(), stream_.end());
  EXPECT_EQ(listener_.seen().size(), 1U) << "activity that waited is applied";
}

TEST_F(WorkerTest, StopsWhileTheStoreIsAway) {
  options_.min_retry = options_.max_retry = kPatience * 10;
  catalog_.FailAlways(StoreCall::kApply, Error(Errc::kUnavailable, "gone"));
  stream_.Append(MakeBatch("a", 1));
  StartWorker();
  Await([&] { return catalog_.calls(StoreCall::kApply) == 1; });
  worker_->Stop();
  EXPECT_EQ(StoredPosition(), 0);
  EXPECT_EQ(catalog_.calls(StoreCall::kCheckpoint), 0) << "it would only hold up the stop";
}

TEST_F(WorkerTest, ReadsTheStreamAgainAfterAFailedPoll) {
  stream_.Fail(StreamCall::kPoll, 1, Error(Errc::kUnavailable, "I/O error"));
  stream_.Append(MakeBatch("a", 1));
  StartWorker();
  AwaitReleased();
  EXPECT_EQ(Count("store_errors_total", {{"kind", "unavailable"}}), 0) << "not the store's fault";
}

}  // namespace
}  // namespace mi::index
