// What the tests of the MySQL store's faults share: a store on a database of its own, and writers that go on whatever
// happens.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "store/testing/contract_test.h"
#include "store/testing/mysql_database.h"

namespace mi::store {

inline constexpr size_t kLabelsOfAPod = 9;  // in metric_label; see MakePodBatch

class MysqlFaultTest : public testing::Test {
 protected:
  void SetUp() override {
    server_ = RealService::Get("mariadb");
    if (server_ == nullptr) GTEST_SKIP() << RealService::kMissing;
    database_.emplace(*server_);
  }
  void Open() {
    catalog_ = database_->Open();
    const Status prepared = catalog_->Prepare();
    ASSERT_TRUE(prepared) << prepared.error().message();
    store_ = catalog_->OpenStore();
  }
  Result<ApplyResult> Apply(const model::SeriesBatch& batch, int64_t next_offset) {
    return ApplyBy(*store_, batch, next_offset);
  }
  static Result<ApplyResult> ApplyBy(SeriesStore& store, const model::SeriesBatch& batch, int64_t next_offset,
                                     int32_t partition = 0) {
    const StreamPosition position[] = {{"metric-index", partition, next_offset}};
    return store.Apply({&batch, 1}, position);
  }
  // Until it succeeds: what a worker does. Anything that is not worth repeating fails the test.
  static ApplyResult ApplyAtLast(SeriesStore& store, const model::SeriesBatch& batch, int64_t next_offset,
                                 int32_t partition) {
    for (;;) {
      Result<ApplyResult> result = ApplyBy(store, batch, next_offset, partition);
      if (result) return *std::move(result);
      if (result.error().code() != Errc::kUnavailable && result.error().code() != Errc::kOverloaded) {
        ADD_FAILURE() << result.error().message();
        return {};
      }
      std::this_thread::yield();
    }
  }
  void ExpectFails(const Result<ApplyResult>& result, Errc code, const testing::Matcher<std::string>& message) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), code) << result.error().message();
    EXPECT_THAT(result.error().message(), message);
  }
  // Every table holds what `series` pod series of one tenant make, once.
  void ExpectExactRows(size_t series) {
    database_->ExpectCount(series, "metric");
    database_->ExpectCount(series, "metric_seen");
    database_->ExpectCount(series, "v_series");
    EXPECT_EQ(database_->AskOne("SELECT COUNT(*) - COUNT(DISTINCT metric) FROM metric"), "0");
    EXPECT_EQ(database_->AskOne("SELECT COUNT(*) - COUNT(DISTINCT value) FROM metric_label_value"), "0");
    // The labels of each, all of them.
    EXPECT_EQ(database_->Ask(
                  format("SELECT COUNT(*) FROM metric_label GROUP BY metric_id HAVING COUNT(*) <> {}", kLabelsOfAPod)),
              std::vector<std::vector<std::string>>());
    database_->ExpectCount(series * kLabelsOfAPod, "v_series_label");
  }
  // Until a transaction waits for a row. (innodb_trx is cached for as long as it is read often.)
  void AwaitLockWait() {
    const auto connection = database_->Connect();
    MysqlStatement* waits = connection
                                ->Prepare(
                                    "SELECT variable_value FROM information_schema.global_status WHERE "
                                    "variable_name = 'Innodb_row_lock_current_waits'")
                                .value();
    do {
      ASSERT_TRUE(waits->Run());
      ASSERT_TRUE(waits->Fetch().value());
    } while (waits->Text(0) == "0");
  }
  // Somebody who keeps what the next transaction writes last: positions.
  std::unique_ptr<MysqlConnection> HoldPosition() {
    auto person = database_->Connect();
    EXPECT_TRUE(person->Exec("START TRANSACTION"));
    EXPECT_TRUE(person->Exec("UPDATE stream_position SET next_offset = next_offset + 0, stream = stream"));
    EXPECT_TRUE(person->Exec("DELETE FROM stream_position WHERE partition_id = 0"));
    return person;
  }
  // Yesterday's rows, in place: what the first batch made, and nothing else.
  void RestoreTheFirstTen() {
    const auto person = database_->Connect();
    for (const char* sql :
         {"DELETE FROM metric WHERE id > 10", "DELETE FROM metric_seen WHERE metric_id > 10",
          "DELETE l FROM metric_label l WHERE metric_id > 10",
          "DELETE FROM metric_label_value WHERE id NOT IN (SELECT metric_label_value_id FROM metric_label)",
          "UPDATE stream_position SET next_offset = 1",
          "UPDATE metric_next_id SET next_id = 11 WHERE name = 'metric'"}) {
      ASSERT_TRUE(person->Exec(sql));
    }
  }
  double Repeated() { return database_->metrics().GetCounter("store_repeated_total", "").Value(); }

  RealService* server_ = nullptr;
  std::optional<TestDatabase> database_;
  std::unique_ptr<MysqlCatalog> catalog_;
  std::unique_ptr<SeriesStore> store_;
};

// Writers that bring the same series, in batches that begin elsewhere, until `fault` is over.
class Load {
 public:
  static constexpr size_t kBatches = 24;
  static constexpr size_t kBatchSeries = 100;
  static constexpr size_t kSeries = kBatches * kBatchSeries;

  template <typename ApplyAtLast>
  Load(MysqlCatalog& catalog, size_t writers, ApplyAtLast apply) {
    for (size_t w = 0; w < writers; ++w) {
      threads_.emplace_back([&catalog, this, apply, w, writers] {
        const auto store = catalog.OpenStore();
        for (size_t round = 0; !over_ || round < kBatches; ++round) {
          const size_t batch = (round + w * kBatches / writers) % kBatches;
          apply(*store, MakePodBatch("", 1000 + static_cast<int64_t>(w), kBatchSeries, batch),
                static_cast<int64_t>(round), static_cast<int32_t>(w));
          ++applied_;
        }
      });
    }
  }
  void AwaitMore(size_t batches) const {
    const size_t until = applied_ + batches;
    while (applied_ < until) std::this_thread::yield();
  }
  // Every writer has brought every batch.
  void Finish() {
    over_ = true;
    threads_.clear();
  }
  size_t applied() const { return applied_; }

 private:
  std::atomic<size_t> applied_ = 0;
  std::atomic<bool> over_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace mi::store
