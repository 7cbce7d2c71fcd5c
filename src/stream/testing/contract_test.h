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

// One empty stream, and what the suite needs besides the ports.
class StreamUnderTest {
 public:
  virtual ~StreamUnderTest() = default;
  virtual SeriesPublisher& publisher() = 0;
  virtual SeriesConsumer& consumer() = 0;
  // Stops publisher and consumer and creates new ones over the same stream. Does not call Start.
  virtual void Restart() = 0;
  // Stops publishing, as a stopping process does.
  virtual void StopPublishing() = 0;
  // Appends a record that cannot be decoded.
  virtual void AppendPoison(const std::string& bytes) = 0;
  virtual std::vector<std::pair<std::string, std::string>> DeadLetters() = 0;  // bytes and reason, in order
  // The offset after the last record, if a poll that does not wait can miss records that exist.
  virtual std::optional<int64_t> End() { return std::nullopt; }
  // Waits until the consumer reads; the stream is still empty.
  virtual void BeginReading() {}
  // Whether the lag includes the time of records that were not polled yet.
  virtual bool SeesTimesOfUnread() { return true; }
};

struct ContractCase {
  std::string name;
  // Returns nullptr if the service is not installed: the case is skipped.
  std::function<std::unique_ptr<StreamUnderTest>()> make;
};

inline std::string CaseName(const testing::TestParamInfo<ContractCase>& info) { return info.param.name; }

// `count` series whose identities are named `prefix`_0, `prefix`_1 …
model::SeriesBatch MakeBatch(std::string_view prefix, size_t count, int64_t seen_at_ms = 1'700'000'000'000,
                             std::string_view tenant = "");
// A batch with about `bytes` bytes of labels that do not compress.
model::SeriesBatch MakeIncompressibleBatch(size_t bytes, uint64_t seed);
// The identities in stream order, as "tenant|identity" if there is a tenant.
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
  // Polls once, and fails the test if nothing arrives.
  Polled Poll(size_t max_series = 100'000);
  // Polls until there are this many series and metadata entries. Merges batches of the same tenant and time.
  Polled PollRecords(size_t series, size_t metadata);
  // Polls everything after the stored positions, and stores the new ones.
  std::vector<std::string> PollAll();
  // Polls once without waiting.
  Polled PollNow();
  // Waits until the lag is `records`.
  void AwaitLag(uint64_t records, int64_t oldest_seen_at_ms);

  std::unique_ptr<StreamUnderTest> stream_ = GetParam().make();
  StoredPositions stored_;
};

}  // namespace mi::stream
