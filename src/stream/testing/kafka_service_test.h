// Fixtures for tests of the Kafka adapters over a real Kafka: a client that reads and writes topics independently of
// the adapters, a log that can be searched, and a test case with a topic of its own.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/eventually.h"
#include "base/format.h"
#include "stream/kafka/client.h"
#include "stream/kafka/consumer.h"
#include "stream/kafka/publisher.h"
#include "stream/testing/contract_test.h"
#include "support/real_service.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"
#include "telemetry/testing/kept_log.h"

namespace mi::stream {

inline constexpr std::chrono::milliseconds kKafkaPatience{60'000};  // a test that waits this long has failed

template <typename Holds>
bool Eventually(Holds holds) {
  return mi::Eventually(std::move(holds), kKafkaPatience);
}

// A name for a topic or group that no other test uses.
inline std::string KafkaName(std::string_view what) {
  static std::atomic<int> count = 0;
  return format("{}-{}-{}", what, getpid(), ++count);
}

using telemetry::KeptLog;

struct KafkaTestDeps {
  SystemClock clock;
  std::unique_ptr<KeptLog> log = std::make_unique<KeptLog>();
  std::unique_ptr<telemetry::Metrics> metrics = telemetry::Metrics::Create();

  FatalHandler fatal = [this](const Error& error) {
    MutexLock lock(mutex);
    fatal_error.emplace(error);
  };

  operator StreamDeps() { return {clock, *log, *metrics, fatal}; }
  // The message that the fatal handler was called with; '' if it was not called.
  std::string FatalMessage() EXCLUDES(mutex) {
    MutexLock lock(mutex);
    return fatal_error ? fatal_error->message() : "";
  }

  Mutex mutex;
  std::optional<Error> fatal_error GUARDED_BY(mutex);
};

// Reads and writes topics as another program would.
class KafkaBystander {
 public:
  struct Record {
    std::string key;
    std::optional<std::string> value;  // nullopt: a tombstone
    std::map<std::string, std::string> headers = {};
  };

  explicit KafkaBystander(const std::string& address) {
    const KafkaOptions options{.hosts = {address}, .librdkafka = {}, .identity_secret = {}};
    producer_ = KafkaClient::Create({.type = RD_KAFKA_PRODUCER,
                                     .defaults = {{"linger.ms", "0"}},
                                     .on_delivery = [this](const rd_kafka_message_t& record) { OnDelivery(record); }},
                                    options, deps_)
                    .value();
    consumer_ = KafkaClient::Create({.type = RD_KAFKA_CONSUMER,
                                     .defaults = {{"group.id", "bystander"},
                                                  {"enable.partition.eof", "true"},
                                                  {"fetch.wait.max.ms", "10"},
                                                  {"auto.offset.reset", "earliest"}}},
                                    options, deps_)
                    .value();
  }

  void MakeTopic(const std::string& name, int partitions, KafkaSettings settings = {}) {
    const Status made = producer_->CreateTopic({name, partitions, std::move(settings)}, kKafkaPatience);
    EXPECT_TRUE(made) << made.error().message();
  }
  void DeleteTopic(const std::string& name) {
    const std::unique_ptr<rd_kafka_DeleteTopic_t, KafkaFree<rd_kafka_DeleteTopic_destroy>> wanted(
        rd_kafka_DeleteTopic_new(name.c_str()));
    const std::unique_ptr<rd_kafka_queue_t, KafkaFree<rd_kafka_queue_destroy>> queue(
        rd_kafka_queue_new(producer_->handle()));
    rd_kafka_DeleteTopic_t* one = wanted.get();
    rd_kafka_DeleteTopics(producer_->handle(), &one, 1, nullptr, queue.get());
    rd_kafka_event_destroy(rd_kafka_queue_poll(queue.get(), static_cast<int>(kKafkaPatience.count())));
    EXPECT_TRUE(Eventually([&] {
      const auto topic = producer_->AskTopic(name, kKafkaPatience);
      return topic && !topic->exists;
    }));
  }

  // Returns when the broker has the record.
  void Write(const std::string& topic, const Record& record, int32_t partition = 0) {
    open_ = 1;
    void* value = record.value ? const_cast<char*>(record.value->data()) : nullptr;
    const size_t size = record.value ? record.value->size() : 0;
    const rd_kafka_resp_err_t taken = rd_kafka_producev(
        producer_->handle(), RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(record.key.data(), record.key.size()),
        RD_KAFKA_V_VALUE(value, size), RD_KAFKA_V_END);
    ASSERT_EQ(taken, RD_KAFKA_RESP_ERR_NO_ERROR) << rd_kafka_err2str(taken);
    while (open_ > 0) rd_kafka_poll(producer_->handle(), 100);
    ASSERT_EQ(error_, RD_KAFKA_RESP_ERR_NO_ERROR) << rd_kafka_err2str(error_);
  }

  // All records of a partition.
  std::vector<Record> Read(const std::string& topic, int32_t partition = 0) {
    const KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(consumer_->handle(), list.get());
    std::vector<Record> records;
    for (;;) {
      const KafkaMessagePtr record(
          rd_kafka_consumer_poll(consumer_->handle(), static_cast<int>(kKafkaPatience.count())));
      if (record == nullptr) throw std::runtime_error("nothing more of topic " + topic + " within the test's patience");
      if (record->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) break;
      if (record->err != RD_KAFKA_RESP_ERR_NO_ERROR) continue;
      records.push_back(Take(*record));
    }
    rd_kafka_assign(consumer_->handle(), nullptr);
    return records;
  }
  std::vector<Record> ReadAll(const std::string& topic) {
    std::vector<Record> records;
    const int partitions = producer_->AskTopic(topic, kKafkaPatience).value().partitions;
    for (int i = 0; i < partitions; ++i) std::ranges::move(Read(topic, i), std::back_inserter(records));
    return records;
  }
  int64_t End(const std::string& topic, int32_t partition = 0) {
    return producer_->AskOffsets(topic, partition, kKafkaPatience).value().end;
  }
  // The offset that a group has committed; -1001 if there is none.
  int64_t Committed(const std::string& group, const std::string& topic, int32_t partition = 0) {
    const auto client =
        KafkaClient::Create(
            {.type = RD_KAFKA_CONSUMER, .defaults = {{"group.id", group}}},
            {.hosts = {producer_->Setting("bootstrap.servers")}, .librdkafka = {}, .identity_secret = {}}, deps_)
            .value();
    const KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition);
    rd_kafka_committed(client->handle(), list.get(), static_cast<int>(kKafkaPatience.count()));
    return list->elems[0].offset;
  }
  // Replaces all settings of a topic.
  void SetTopic(const std::string& name, const KafkaSettings& settings) {
    const std::unique_ptr<rd_kafka_ConfigResource_t, KafkaFree<rd_kafka_ConfigResource_destroy>> resource(
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name.c_str()));
    for (const auto& [key, value] : settings)
      rd_kafka_ConfigResource_set_config(resource.get(), key.c_str(), value.c_str());
    const std::unique_ptr<rd_kafka_queue_t, KafkaFree<rd_kafka_queue_destroy>> queue(
        rd_kafka_queue_new(producer_->handle()));
    rd_kafka_ConfigResource_t* one = resource.get();
    rd_kafka_AlterConfigs(producer_->handle(), &one, 1, nullptr, queue.get());
    const std::unique_ptr<rd_kafka_event_t, KafkaFree<rd_kafka_event_destroy>> event(
        rd_kafka_queue_poll(queue.get(), static_cast<int>(kKafkaPatience.count())));
    ASSERT_NE(event, nullptr);
    EXPECT_EQ(rd_kafka_event_error(event.get()), RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  // Deletes the records before `offset`, as retention does.
  void Forget(const std::string& topic, int32_t partition, int64_t offset) {
    const KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition)->offset = offset;
    const std::unique_ptr<rd_kafka_DeleteRecords_t, KafkaFree<rd_kafka_DeleteRecords_destroy>> wanted(
        rd_kafka_DeleteRecords_new(list.get()));
    const std::unique_ptr<rd_kafka_queue_t, KafkaFree<rd_kafka_queue_destroy>> queue(
        rd_kafka_queue_new(producer_->handle()));
    rd_kafka_DeleteRecords_t* one = wanted.get();
    rd_kafka_DeleteRecords(producer_->handle(), &one, 1, nullptr, queue.get());
    rd_kafka_event_destroy(rd_kafka_queue_poll(queue.get(), static_cast<int>(kKafkaPatience.count())));
    EXPECT_EQ(producer_->AskOffsets(topic, partition, kKafkaPatience).value().first, offset);
  }
  KafkaClient& client() { return *producer_; }

 private:
  static Record Take(const rd_kafka_message_t& record) {
    Record taken{.key = std::string(static_cast<const char*>(record.key), record.key_len), .value = std::nullopt};
    if (record.payload != nullptr) taken.value.emplace(static_cast<const char*>(record.payload), record.len);
    rd_kafka_headers_t* headers = nullptr;
    rd_kafka_message_headers(&record, &headers);
    const char* name = nullptr;
    const void* value = nullptr;
    size_t size = 0;
    for (size_t i = 0; headers != nullptr && rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; ++i) {
      taken.headers[name] = std::string(static_cast<const char*>(value), size);
    }
    return taken;
  }
  void OnDelivery(const rd_kafka_message_t& record) {
    error_ = record.err;
    --open_;
  }

  KafkaTestDeps deps_;
  std::unique_ptr<KafkaClient> producer_;
  std::unique_ptr<KafkaClient> consumer_;
  int open_ = 0;
  rd_kafka_resp_err_t error_ = RD_KAFKA_RESP_ERR_NO_ERROR;
};

// Starts a real Kafka, and names a topic for this test case alone.
class KafkaServiceTest : public testing::Test {
 protected:
  explicit KafkaServiceTest(std::string_view what) : topic_(KafkaName(what)) {}
  void SetUp() override {
    kafka_ = RealService::Get("kafka");
    if (kafka_ == nullptr) GTEST_SKIP() << RealService::kMissing;
    bystander_.emplace(kafka_->address());
    Configure({kafka_->address()});
  }
  virtual void Configure(const std::vector<std::string>& hosts) = 0;

  RealService* kafka_ = nullptr;
  const std::string topic_;
  KafkaTestDeps deps_;
  std::optional<KafkaBystander> bystander_;
};

}  // namespace mi::stream
