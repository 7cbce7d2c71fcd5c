// One handle of librdkafka. Builds its configuration from our options and the user's, writes its log lines to our log,
// and turns its errors into ours, with the name of the option to look at.
//
// Threads: safe. `on_delivery` and `on_rebalance` are called by the thread that polls the handle; log lines come from
// any thread.
// Errors: an error that ends the handle for good (RD_KAFKA_RESP_ERR__FATAL) goes to StreamDeps::fatal, once.
#pragma once

#include <librdkafka/rdkafka.h>

#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "base/mutex.h"
#include "base/result.h"
#include "stream/deps.h"
#include "stream/kafka/options.h"

namespace mi::stream {

inline constexpr std::chrono::milliseconds kBrokerTimeout{5'000};  // for a question that only its asker waits for
inline constexpr std::chrono::milliseconds kBriefTimeout{1'000};   // for one that delays records and reports
inline constexpr std::chrono::milliseconds kPollSlice{100};        // a request to stop is noticed within this time

inline std::string ActivityTopic(std::string_view topic) { return std::string(topic) + "-activity"; }
inline std::string DeadLetterTopic(std::string_view topic) { return std::string(topic) + "-dead-letter"; }

// kInvalid: librdkafka does not know an option, or refuses its value; the message names the option. Does not connect.
Status CheckKafkaOptions(const std::map<std::string, std::string>& librdkafka);

template <auto destroy>
struct KafkaFree {
  template <typename T>
  void operator()(T* handle) const {
    destroy(handle);
  }
};
using KafkaTopicPtr = std::unique_ptr<rd_kafka_topic_t, KafkaFree<rd_kafka_topic_destroy>>;
using KafkaMessagePtr = std::unique_ptr<rd_kafka_message_t, KafkaFree<rd_kafka_message_destroy>>;
using KafkaQueuePtr = std::unique_ptr<rd_kafka_queue_t, KafkaFree<rd_kafka_queue_destroy>>;
using KafkaEventPtr = std::unique_ptr<rd_kafka_event_t, KafkaFree<rd_kafka_event_destroy>>;
using KafkaAdminOptionsPtr = std::unique_ptr<rd_kafka_AdminOptions_t, KafkaFree<rd_kafka_AdminOptions_destroy>>;
using KafkaPartitionsPtr =
    std::unique_ptr<rd_kafka_topic_partition_list_t, KafkaFree<rd_kafka_topic_partition_list_destroy>>;

using KafkaSettings = std::vector<std::pair<std::string, std::string>>;

struct KafkaClientSpec {
  rd_kafka_type_t type;
  std::string_view hosts_option;  // "metric_store.producer.hosts"
  std::string_view topic_option;
  KafkaSettings defaults = {};  // the user's options win over these
  KafkaSettings fixed = {};     // and these over the user's
  std::function<void(const rd_kafka_message_t&)> on_delivery = {};
  std::function<void(rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t&)> on_rebalance = {};
};

struct KafkaNewTopic {
  std::string name;
  int partitions = -1;  // -1: the broker's default
  KafkaSettings settings;
};

class KafkaClient {
 public:
  // kInvalid: an option that librdkafka does not accept. Connects in the background.
  static Result<std::unique_ptr<KafkaClient>> Create(const KafkaClientSpec& spec, const KafkaOptions& options,
                                                     const StreamDeps& deps);
  // Does not leave a consumer group: see Leave.
  ~KafkaClient();
  // Leaves the consumer group and ends the handle, without calling on_rebalance. If the brokers do not answer within
  // `timeout`, they notice when the session times out.
  static void Leave(std::unique_ptr<KafkaClient> client, std::chrono::milliseconds timeout);
  KafkaClient(const KafkaClient&) = delete;
  KafkaClient& operator=(const KafkaClient&) = delete;

  rd_kafka_t* handle() const { return handle_; }
  // The value in force; '' if there is no such option.
  std::string Setting(const std::string& name) const;

  // For consumers: joins the group and reads these topics.
  Status Subscribe(const std::vector<std::string>& topics);

  // An error of librdkafka as one of ours, with the option to look at.
  Error Explain(rd_kafka_resp_err_t error, std::string_view context) const EXCLUDES(mutex_);

  // Set while no broker is reachable, or none accepts our credentials, as far as librdkafka has reported it.
  std::optional<Error> down() const EXCLUDES(mutex_);
  void ForgetDown() EXCLUDES(mutex_);

  // Passes a fatal error of the handle on to StreamDeps::fatal. Consumers call it: they see such an error as a message.
  void ReportFatal() EXCLUDES(mutex_);

  struct Topic {
    bool exists = false;
    int partitions = 0;
    int with_leader = 0;
  };
  // These ask a broker, and wait at most `timeout` for the answer.
  Result<Topic> AskTopic(const std::string& topic, std::chrono::milliseconds timeout) const;
  struct Offsets {
    int64_t first = 0;  // of the partition's first record
    int64_t end = 0;    // after its last record
  };
  Result<Offsets> AskOffsets(const std::string& topic, int32_t partition, std::chrono::milliseconds timeout) const;
  // Returns when the brokers know the topic. Also succeeds if it exists already.
  Status CreateTopic(const KafkaNewTopic& topic, std::chrono::milliseconds timeout) const;
  Result<std::map<std::string, std::string>> ReadTopicSettings(const std::string& topic,
                                                               std::chrono::milliseconds timeout) const;

 private:
  KafkaClient(const KafkaClientSpec& spec, const KafkaOptions& options, const StreamDeps& deps);
  Status Open(const KafkaClientSpec& spec, const KafkaOptions& options);
  void Write(telemetry::Level level, std::string_view line) EXCLUDES(log_mutex_);
  Status AwaitTopic(const std::string& topic, std::chrono::milliseconds timeout) const;
  KafkaAdminOptionsPtr AdminOptions(rd_kafka_admin_op_t operation, std::chrono::milliseconds timeout) const;
  Result<KafkaEventPtr> AwaitAnswer(rd_kafka_queue_t* queue, const std::string& what,
                                    std::chrono::milliseconds timeout) const;
  static void OnLog(const rd_kafka_t* handle, int level, const char* facility, const char* line);
  void OnError(rd_kafka_resp_err_t code, std::string_view reason) EXCLUDES(mutex_);
  bool CloseWithin(std::chrono::milliseconds timeout);
  std::string_view OptionOf(rd_kafka_resp_err_t error) const;

  const std::string_view hosts_option_;
  const std::string_view topic_option_;
  const std::string hosts_;
  const FatalHandler fatal_;
  const std::function<void(const rd_kafka_message_t&)> on_delivery_;
  const std::function<void(rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t&)> on_rebalance_;
  rd_kafka_t* handle_ = nullptr;

  Mutex log_mutex_;
  telemetry::Logger* log_ GUARDED_BY(log_mutex_);  // null once the handle is abandoned

  mutable Mutex mutex_;
  std::optional<Error> refused_ GUARDED_BY(mutex_);  // by a broker: more precise than "no broker answers"
  std::string last_reason_ GUARDED_BY(mutex_);       // why the last connection failed
  bool all_down_ GUARDED_BY(mutex_) = false;
  bool fatal_reported_ GUARDED_BY(mutex_) = false;
};

}  // namespace mi::stream
