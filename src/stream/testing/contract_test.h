// What every SeriesPublisher and SeriesConsumer must do, whatever stream is behind them. An adapter's test instantiates
// the suite with a way to make an empty stream:
//
//   INSTANTIATE_TEST_SUITE_P(Journal, StreamContract, testing::Values(ContractCase{"Journal", MakeJournal}), CaseName);
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "stream/ports.h"

namespace mi::stream {

inline constexpr std::chrono::milliseconds kPatience{20'000};  // a test that waits this long has failed

// One empty stream, and what the suite must see or do behind the ports' back.
class StreamUnderTest {
 public:
  virtual ~StreamUnderTest() = default;
  virtual SeriesPublisher& publisher() = 0;
  virtual SeriesConsumer& consumer() = 0;
  // Ends publisher and consumer as a clean stop does, and makes new ones over the same stream. Start is not called.
  virtual void Restart() = 0;
  // Ends publishing, as the process does when it stops.
  virtual void StopPublishing() = 0;
  // A record that cannot be decoded, behind what is there.
  virtual void AppendPoison(const std::string& bytes) = 0;
  virtual std::vector<std::pair<std::string, std::string>> DeadLetters() = 0;  // bytes and reason, in order
  // The offset behind the last record, where a poll that does not wait may find nothing although there is something.
  virtual std::optional<int64_t> End() { return std::nullopt; }
  // Waits until the consumer has begun to read; nothing is in the stream yet.
  virtual void BeginReading() {}
  // Whether the lag says when a record was received that was not polled yet.
  virtual bool SeesTimesOfUnread() { return true; }
};

struct ContractCase {
  std::string name;
  // nullptr where what is behind it is not installed: the case is skipped.
  std::function<std::unique_ptr<StreamUnderTest>()> make;
};

inline std::string CaseName(const testing::TestParamInfo<ContractCase>& info) { return info.param.name; }

// `count` series whose identities are named `prefix`_0, `prefix`_1 …
model::SeriesBatch MakeBatch(std::string_view prefix, size_t count, int64_t seen_at_ms = 1'700'000'000'000,
                             std::string_view tenant = "");
// About so many bytes of labels in one batch, which do not compress.
model::SeriesBatch MakeIncompressibleBatch(size_t bytes, uint64_t seed);
// The identities in stream order, each behind its tenant and a bar when it has one.
std::vector<std::string> Identities(const std::vector<model::SeriesBatch>& batches);
std::vector<std::string> Identities(const model::SeriesBatch& batch);

// Publishes and waits for the answer.
PublishResult PublishAndWait(SeriesPublisher& publisher, model::SeriesBatch batch);

// The positions that a store would have.
class StoredPositions {
 public:
  PositionLookup Lookup();
  void Store(const Polled& polled);
  void FailNext(Error error) { fault_ = std::move(error); }
  const std::vector<StreamPosition>& all() const { return positions_; }
  void Set(std::vector<StreamPosition> positions) { positions_ = std::move(positions); }

 private:
  std::vector<StreamPosition> positions_;
  std::optional<Error> fault_;
};

class StreamContract : public testing::TestWithParam<ContractCase> {
 protected:
  void SetUp() override {
    if (stream_ == nullptr) GTEST_SKIP();
  }
  void Start() { ASSERT_TRUE(stream_->consumer().Start(stored_.Lookup())); }
  void Restart() {
    stream_->Restart();
    Start();
  }
  void Publish(model::SeriesBatch batch) {
    ASSERT_TRUE(PublishAndWait(stream_->publisher(), std::move(batch)).all_durable());
  }
  // One poll that waits for something; fails the test when nothing comes.
  Polled Poll(size_t max_series = 100'000);
  // Polls until there were so many series and metadata entries, as one; batches of one tenant and time are put
  // together.
  Polled PollRecords(size_t series, size_t metadata);
  // Polls that take all there is beyond what is stored, with their positions stored.
  std::vector<std::string> PollAll();
  // One poll that does not wait.
  Polled PollNow();
  // Waits until so many records are known to wait.
  void AwaitLag(uint64_t records, int64_t oldest_seen_at_ms);

  std::unique_ptr<StreamUnderTest> stream_ = GetParam().make();
  StoredPositions stored_;
};

}  // namespace mi::stream
