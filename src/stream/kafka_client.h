// One handle of librdkafka: made from our options and the user's, its log in ours, its errors in words that name the
// knob.
//
// Threads: safe. The callbacks of KafkaEvents come from whoever polls the handle; log lines from any thread.
#pragma once

#include <librdkafka/rdkafka.h>

#include <chrono>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "stream/kafka.h"

namespace mi::stream {

inline constexpr std::chrono::milliseconds kBrokerTimeout{5'000};  // of a question that only its asker waits for
inline constexpr std::chrono::milliseconds kBriefTimeout{1'000};   // of one that records and reports wait behind
inline constexpr std::chrono::milliseconds kPollSlice{100};        // how late a wish to stop may be noticed

template <auto destroy>
struct KafkaFree {
  template <typename T>
  void operator()(T* handle) const {
    destroy(handle);
  }
};
using KafkaTopicPtr = std::unique_ptr<rd_kafka_topic_t, KafkaFree<rd_kafka_topic_destroy>>;
using KafkaMessagePtr = std::unique_ptr<rd_kafka_message_t, KafkaFree<rd_kafka_message_destroy>>;
using KafkaPartitionsPtr =
    std::unique_ptr<rd_kafka_topic_partition_list_t, KafkaFree<rd_kafka_topic_partition_list_destroy>>;

// What a handle reports while it is polled.
class KafkaEvents {
 public:
  // Called from C: they must not throw.
  virtual void OnDelivery(const rd_kafka_message_t& /*record*/) {}
  virtual void OnRebalance(rd_kafka_resp_err_t /*what*/, rd_kafka_topic_partition_list_t& /*partitions*/) {}

 protected:
  ~KafkaEvents() = default;
};

using KafkaSettings = std::vector<std::pair<std::string, std::string>>;

struct KafkaClientSpec {
  rd_kafka_type_t type;
  std::string_view hosts_knob;  // "metric_store.producer.hosts"
  std::string_view topic_knob;
  KafkaSettings defaults;  // the user's options win over these
  KafkaSettings fixed;     // and these over the user's
};

class KafkaClient {
 public:
  // `events` may be null, and outlives the client. kInvalid: an option that librdkafka does not take.
  static Result<std::unique_ptr<KafkaClient>> Create(const KafkaClientSpec& spec, const KafkaOptions& options,
                                                     telemetry::Logger& log, KafkaEvents* events);
  ~KafkaClient();
  // Ends a consumer's handle for good. Leaves the group in order, with callbacks from within; where the brokers do not
  // answer in time, without a word: they find out when the session ends. librdkafka cannot end a handle that waits for
  // an answer (for up to socket.timeout.ms, a minute), so that one is silenced and left to the end of the process,
  // which is what consumers leave for.
  static void Leave(std::unique_ptr<KafkaClient> client, std::chrono::milliseconds timeout);
  KafkaClient(const KafkaClient&) = delete;
  KafkaClient& operator=(const KafkaClient&) = delete;

  rd_kafka_t* handle() const { return handle_; }
  // The value in force, '' when there is no such option.
  std::string Setting(const std::string& name) const;

  // An error of librdkafka as one of ours, with what to look at.
  Error Explain(rd_kafka_resp_err_t error, std::string_view context) const EXCLUDES(mutex_);

  // Why the whole client cannot work, as far as it has said: no broker, or no broker that lets us in.
  std::optional<Error> down() const EXCLUDES(mutex_);
  void ForgetDown() EXCLUDES(mutex_);
  // The error after which nothing can be published through this handle.
  std::optional<Error> fatal() const;

  struct Topic {
    bool exists = false;
    int partitions = 0;
    int with_leader = 0;
  };
  // Asks a broker; waits for it at most so long.
  Result<Topic> AskTopic(const std::string& topic, std::chrono::milliseconds timeout) const;

 private:
  KafkaClient(const KafkaClientSpec& spec, const KafkaOptions& options, telemetry::Logger& log, KafkaEvents* events);
  void Write(telemetry::Level level, std::string_view line) EXCLUDES(log_mutex_);
  static void OnLog(const rd_kafka_t* handle, int level, const char* facility, const char* line);
  static void OnError(rd_kafka_t* handle, int code, const char* reason, void* self);
  void NoteError(rd_kafka_resp_err_t code, std::string_view reason) EXCLUDES(mutex_);
  bool Closed(std::chrono::milliseconds timeout);
  std::string_view KnobOf(rd_kafka_resp_err_t error) const;

  const std::string_view hosts_knob_;
  const std::string_view topic_knob_;
  const std::string hosts_;
  KafkaEvents* const events_;
  rd_kafka_t* handle_ = nullptr;

  Mutex log_mutex_;
  telemetry::Logger* log_ GUARDED_BY(log_mutex_);  // null: nobody listens any more

  mutable Mutex mutex_;
  std::optional<Error> refused_ GUARDED_BY(mutex_);  // by a broker: says more than that none is left
  std::string last_reason_ GUARDED_BY(mutex_);       // of a connection
  bool all_down_ GUARDED_BY(mutex_) = false;
};

}  // namespace mi::stream
