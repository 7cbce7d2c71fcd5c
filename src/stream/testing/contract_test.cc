#include "stream/testing/contract_test.h"

#include <future>
#include <random>
#include <set>
#include <thread>

#include "base/format.h"
#include "model/identity.h"

namespace mi::stream {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

model::SeriesBatch MakeBatch(std::string_view prefix, size_t count, int64_t seen_at_ms, std::string_view tenant_name) {
  const model::Tenant tenant = model::Tenant::Parse(tenant_name).value();
  const model::Fingerprinter fingerprint("", tenant);
  model::SeriesBatch batch(tenant, seen_at_ms);
  for (size_t i = 0; i < count; ++i) {
    const std::string name = format("{}_{}", prefix, i);
    const model::Label labels[] = {{model::kMetricName, name}, {"job", "contract"}};
    const model::Labels canonical = model::Labels::FromUnsorted(labels).value();
    batch.Add(fingerprint(canonical.canonical()), canonical.canonical());
  }
  return batch;
}

model::SeriesBatch MakeIncompressibleBatch(size_t bytes, uint64_t seed) {
  model::SeriesBatch batch(model::Tenant(), 1);
  const model::Fingerprinter fingerprint("", model::Tenant());
  std::mt19937_64 random(seed);
  while (batch.byte_size() < bytes) {
    std::string value(1'024, 'x');
    for (char& c : value) c = static_cast<char>('!' + random() % 90);
    const model::Label labels[] = {{"v", value}};
    const model::Labels canonical = model::Labels::FromUnsorted(labels).value();
    batch.Add(fingerprint(canonical.canonical()), canonical.canonical());
  }
  return batch;
}

std::vector<std::string> Identities(const model::SeriesBatch& batch) {
  std::vector<std::string> identities;
  for (size_t i = 0; i < batch.size(); ++i) {
    const std::string identity = model::FormatIdentity(batch[i].labels);
    identities.push_back(batch.tenant().is_default() ? identity : batch.tenant().name() + "|" + identity);
  }
  return identities;
}

std::vector<std::string> Identities(const std::vector<model::SeriesBatch>& batches) {
  std::vector<std::string> identities;
  for (const model::SeriesBatch& batch : batches) {
    for (std::string& identity : Identities(batch)) identities.push_back(std::move(identity));
  }
  return identities;
}

PublishResult PublishAndWait(SeriesPublisher& publisher, model::SeriesBatch batch) {
  std::promise<PublishResult> promise;  // moved into the callback, which can still hold it when the answer is read
  std::future<PublishResult> answer = promise.get_future();
  publisher.Publish(
      std::make_shared<const model::SeriesBatch>(std::move(batch)),
      [promise = std::move(promise)](PublishResult result) mutable { promise.set_value(std::move(result)); });
  return answer.get();
}

PositionLookup StoredPositions::Lookup() {
  return [this](const std::string& stream, int32_t partition) -> Result<std::optional<int64_t>> {
    if (fault_) return Fail(*std::exchange(fault_, std::nullopt));
    for (const StreamPosition& position : positions_) {
      if (position.stream == stream && position.partition == partition) return position.next_offset;
    }
    return std::nullopt;
  };
}

void StoredPositions::Store(const Polled& polled) {
  for (const StreamPosition& next : polled.next) {
    std::erase_if(positions_,
                  [&](const StreamPosition& p) { return p.stream == next.stream && p.partition == next.partition; });
    positions_.push_back(next);
  }
}

Polled StreamContract::Poll(size_t max_series) {
  Result<Polled> polled = stream_->consumer().Poll(max_series, kPatience);
  EXPECT_TRUE(polled) << polled.error().message();
  EXPECT_FALSE(polled->empty()) << "nothing came";
  return std::move(*polled);
}

Polled StreamContract::PollNow() {
  Result<Polled> polled = stream_->consumer().Poll(100'000, milliseconds(0));
  EXPECT_TRUE(polled) << polled.error().message();
  return std::move(*polled);
}

std::vector<std::string> StreamContract::PollAll() {
  const std::optional<int64_t> end = stream_->End();
  int64_t next = stored_.all().empty() ? 0 : stored_.all().front().next_offset;
  if (end && next > *end) next = 0;  // a position of records that no longer exist
  std::vector<std::string> identities;
  for (;;) {
    const Polled polled = end && next < *end ? Poll() : PollNow();
    if (polled.empty()) return identities;
    next = polled.next.front().next_offset;
    stored_.Store(polled);
    for (std::string& identity : Identities(polled.batches)) identities.push_back(std::move(identity));
  }
}

Polled StreamContract::PollRecords(size_t series, size_t metadata) {
  Polled all;
  for (size_t entries = 0; all.series < series || entries < metadata;) {
    Polled polled = Poll();
    if (polled.empty()) break;
    all.series += polled.series;
    for (const model::SeriesBatch& batch : polled.batches) {
      entries += batch.metadata().size();
      if (all.batches.empty() || all.batches.back().tenant() != batch.tenant() ||
          all.batches.back().seen_at_ms() != batch.seen_at_ms()) {
        all.batches.emplace_back(batch.tenant(), batch.seen_at_ms());
      }
      for (size_t i = 0; i < batch.size(); ++i)
        all.batches.back().Add(batch[i].fingerprint, batch[i].labels.canonical());
      for (const model::MetricMetadata& m : batch.metadata()) all.batches.back().AddMetadata(m);
    }
    std::ranges::move(polled.poison, std::back_inserter(all.poison));
    all.next = std::move(polled.next);
  }
  return all;
}

void StreamContract::AwaitLag(uint64_t records, int64_t oldest_seen_at_ms) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  SeriesConsumer& consumer = stream_->consumer();
  while (consumer.CurrentLag().records != records && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(consumer.CurrentLag().records, records);
  EXPECT_EQ(consumer.CurrentLag().oldest_seen_at_ms, oldest_seen_at_ms);
}

TEST_P(StreamContract, ReturnsWhatWasPublishedByteForByte) {
  Start();
  model::SeriesBatch batch = MakeBatch("up", 3, 1'234, "team-a");
  batch.AddMetadata({.family = "up", .type = "gauge", .help = "says \"up\"\nor not", .unit = "bool"});
  const model::SeriesBatch sent = batch;
  Publish(std::move(batch));
  const Polled polled = PollRecords(3, 1);
  ASSERT_THAT(polled.batches, SizeIs(1));
  const model::SeriesBatch& got = polled.batches[0];
  EXPECT_EQ(got.tenant(), sent.tenant());
  EXPECT_EQ(got.seen_at_ms(), 1'234);
  EXPECT_EQ(got.metadata(), sent.metadata());
  EXPECT_EQ(Identities(got), Identities(sent));
  for (size_t i = 0; i < sent.size(); ++i) EXPECT_EQ(got[i].fingerprint, sent[i].fingerprint);
  EXPECT_EQ(polled.series, 3U);
  EXPECT_THAT(polled.poison, IsEmpty());
}

TEST_P(StreamContract, CarriesMetadataWithoutSeries) {
  Start();
  model::SeriesBatch batch(model::Tenant(), 7);
  batch.AddMetadata({.family = "up", .type = "gauge", .help = "", .unit = ""});
  Publish(std::move(batch));
  const Polled polled = Poll();
  ASSERT_THAT(polled.batches, SizeIs(1));
  EXPECT_THAT(polled.batches[0].metadata(), SizeIs(1));
}

TEST_P(StreamContract, TreatsAnEmptyBatchAsDurable) {
  Start();
  EXPECT_TRUE(PublishAndWait(stream_->publisher(), model::SeriesBatch()).all_durable());
  EXPECT_TRUE(PollNow().empty());
}

TEST_P(StreamContract, KeepsTheOrderOfOnePublisher) {
  Start();
  std::vector<std::string> want;
  for (int i = 0; i < 50; ++i) {
    model::SeriesBatch batch = MakeBatch(format("m{}", i), 2);
    for (std::string& identity : Identities(batch)) want.push_back(std::move(identity));
    Publish(std::move(batch));
  }
  EXPECT_EQ(PollAll(), want);
}

TEST_P(StreamContract, AnswersEachBatchOnceWhenManyThreadsPublish) {
  Start();
  constexpr int kThreads = 4;
  constexpr int kBatches = 100;
  std::atomic<int> answers = 0;
  std::atomic<int> durable = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kBatches; ++i) {
          auto batch = std::make_shared<const model::SeriesBatch>(MakeBatch(format("t{}_{}", t, i), 1));
          stream_->publisher().Publish(std::move(batch), [&](const PublishResult& result) {
            durable += result.all_durable() ? 1 : 0;
            ++answers;
            answers.notify_all();
          });
        }
      });
    }
  }
  for (int n = answers; n < kThreads * kBatches; n = answers) answers.wait(n);
  EXPECT_EQ(durable, kThreads * kBatches);
  const std::vector<std::string> all = PollAll();
  EXPECT_EQ(std::set(all.begin(), all.end()).size(), size_t{kThreads * kBatches});
  EXPECT_THAT(all, SizeIs(kThreads * kBatches));
  EXPECT_EQ(answers, kThreads * kBatches);
}

TEST_P(StreamContract, ReturnsABatchAsSoonAsItIsDurable) {
  Start();
  for (int i = 0; i < 20; ++i) {
    Publish(MakeBatch(format("m{}", i), 1));
    EXPECT_THAT(Identities(Poll().batches), ElementsAre(format("m{}_0{{job=\"contract\"}}", i)));
  }
}

TEST_P(StreamContract, WaitsForTheFirstRecord) {
  Start();
  std::jthread later([&] { Publish(MakeBatch("late", 1)); });
  EXPECT_THAT(Poll().batches, SizeIs(1));
}

TEST_P(StreamContract, BoundsAPollButReturnsAtLeastOneRecord) {
  Start();
  for (int i = 0; i < 6; ++i) Publish(MakeBatch(format("m{}", i), 10));
  uint64_t series = Poll(1).series;
  EXPECT_GE(series, 1U);
  while (series < 60) {
    const uint64_t polled = Poll(25).series;
    ASSERT_GE(polled, 1U);
    ASSERT_LE(polled, 25U);
    series += polled;
  }
  EXPECT_EQ(series, 60U);
}

TEST_P(StreamContract, ContinuesAfterEachPollWithOnePositionPerPartition) {
  Start();
  Publish(MakeBatch("a", 1));
  Publish(MakeBatch("b", 1));
  const Polled first = Poll(1);
  const Polled second = Poll(1);
  EXPECT_NE(Identities(first.batches), Identities(second.batches));
  for (const Polled* polled : {&first, &second}) {
    std::set<std::pair<std::string, int32_t>> partitions;
    for (const StreamPosition& p : polled->next) EXPECT_TRUE(partitions.emplace(p.stream, p.partition).second);
  }
}

TEST_P(StreamContract, ReadsFromTheFirstRecordWhenTheStoreHasNoPosition) {
  Publish(MakeBatch("before", 1));
  Start();
  Publish(MakeBatch("after", 1));
  EXPECT_THAT(PollAll(), ElementsAre("before_0{job=\"contract\"}", "after_0{job=\"contract\"}"));
  Restart();
  Publish(MakeBatch("later", 1));
  EXPECT_THAT(PollAll(), ElementsAre("later_0{job=\"contract\"}"));
}

TEST_P(StreamContract, ReadsAgainAfterARestartWhatWasNotStored) {
  Start();
  Publish(MakeBatch("stored", 1));
  stored_.Store(Poll());
  Publish(MakeBatch("unstored", 1));
  Poll();
  Restart();
  EXPECT_THAT(PollAll(), ElementsAre("unstored_0{job=\"contract\"}"));
}

TEST_P(StreamContract, TakesUnappliedPollsBackWithRewind) {
  Start();
  for (const char* name : {"a", "b", "c"}) Publish(MakeBatch(name, 1));
  stored_.Store(Poll(1));
  Poll(1);
  Poll(1);
  ASSERT_TRUE(stream_->consumer().Rewind());
  EXPECT_THAT(PollAll(), ElementsAre("b_0{job=\"contract\"}", "c_0{job=\"contract\"}"));
}

TEST_P(StreamContract, ReturnsTheErrorOfThePositionLookup) {
  stored_.FailNext(Error(Errc::kUnavailable, "database is away"));
  const Status started = stream_->consumer().Start(stored_.Lookup());
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), Errc::kUnavailable);
  Start();
  Publish(MakeBatch("a", 1));
  Poll();
  stored_.FailNext(Error(Errc::kUnavailable, "database is away"));
  EXPECT_FALSE(stream_->consumer().Rewind());
  ASSERT_TRUE(stream_->consumer().Rewind());
  EXPECT_THAT(PollAll(), SizeIs(1));
}

TEST_P(StreamContract, ReturnsUndecodableRecordsAsPoisonAndContinues) {
  Start();
  Publish(MakeBatch("before", 1));
  stream_->AppendPoison(std::string("no\0batch", 8));
  stream_->Restart();
  Start();
  Publish(MakeBatch("after", 1));
  std::vector<std::string> identities;
  std::vector<PoisonRecord> poison;
  while (identities.size() < 2 || poison.empty()) {
    Polled polled = Poll();
    ASSERT_FALSE(polled.empty());
    for (std::string& identity : Identities(polled.batches)) identities.push_back(std::move(identity));
    for (PoisonRecord& record : polled.poison) poison.push_back(std::move(record));
  }
  EXPECT_THAT(identities, ElementsAre("before_0{job=\"contract\"}", "after_0{job=\"contract\"}"));
  ASSERT_THAT(poison, SizeIs(1));
  EXPECT_EQ(poison[0].bytes, std::string("no\0batch", 8));
  EXPECT_FALSE(poison[0].reason.empty());
}

TEST_P(StreamContract, KeepsDeadLettersByteForByteOverARestart) {
  Start();
  Publish(MakeBatch("a", 1));
  const StreamPosition at = Poll().next[0];
  const std::string bytes("\0\xff nul and more", 15);
  ASSERT_TRUE(stream_->consumer().DeadLetter({at, bytes, "because"}));
  ASSERT_TRUE(stream_->consumer().DeadLetter({at, "", "empty"}));
  Restart();
  EXPECT_THAT(stream_->DeadLetters(), ElementsAre(std::pair(bytes, "because"), std::pair("", "empty")));
}

TEST_P(StreamContract, ContinuesAfterEverythingWasReleased) {
  Start();
  Publish(MakeBatch("a", 1));
  Publish(MakeBatch("b", 1));
  PollAll();
  stream_->consumer().Release(stored_.all());
  Restart();
  Publish(MakeBatch("c", 1));
  EXPECT_THAT(PollAll(), ElementsAre("c_0{job=\"contract\"}"));
}

TEST_P(StreamContract, ReadsEverythingWhenTheStoreIsAheadOfTheStream) {
  Start();
  Publish(MakeBatch("a", 1));
  std::vector<StreamPosition> ahead = Poll().next;
  for (StreamPosition& position : ahead) position.next_offset += 1'000;
  stored_.Set(ahead);
  Restart();
  Publish(MakeBatch("b", 1));
  EXPECT_THAT(PollAll(), ElementsAre("a_0{job=\"contract\"}", "b_0{job=\"contract\"}"));
}

TEST_P(StreamContract, CountsTheRecordsThatWaitToBeApplied) {
  SeriesConsumer& consumer = stream_->consumer();
  Start();
  stream_->BeginReading();
  AwaitLag(0, 0);
  for (const int64_t seen_at_ms : {5'000, 6'000, 7'000}) Publish(MakeBatch(format("m{}", seen_at_ms), 1, seen_at_ms));
  while (consumer.CurrentLag().records < 3) std::this_thread::yield();
  if (stream_->SeesTimesOfUnread()) AwaitLag(3, 5'000);
  Poll(1);
  AwaitLag(3, 5'000);  // polled is not applied
  Poll(1);
  AwaitLag(2, 6'000);
  ASSERT_TRUE(consumer.Rewind());
  AwaitLag(3, stream_->SeesTimesOfUnread() ? 5'000 : consumer.CurrentLag().oldest_seen_at_ms);
  PollAll();
  AwaitLag(0, 0);
}

TEST_P(StreamContract, EndsAPollThatWaitsWhenItIsWoken) {
  Start();
  std::jthread waker([&] { stream_->consumer().Wake(); });  // before or while the poll waits
  const Result<Polled> polled = stream_->consumer().Poll(10, kPatience * 100);
  ASSERT_TRUE(polled);
  EXPECT_TRUE(polled->empty());
}

TEST_P(StreamContract, AnswersEveryBatchWhenPublishingIsStopped) {
  Start();
  std::atomic<int> answers = 0;
  constexpr int kBatches = 200;
  std::jthread publishing([&] {
    for (int i = 0; i < kBatches; ++i) {
      stream_->publisher().Publish(std::make_shared<const model::SeriesBatch>(MakeBatch(format("m{}", i), 1)),
                                   [&](const PublishResult&) { ++answers; });
    }
  });
  stream_->StopPublishing();
  publishing.join();
  EXPECT_EQ(answers, kBatches);
  EXPECT_EQ(PublishAndWait(stream_->publisher(), MakeBatch("late", 1)).failures.size(), 1U);
}

}  // namespace mi::stream
