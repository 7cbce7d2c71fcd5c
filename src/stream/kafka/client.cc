#include "stream/kafka/client.h"

#include <array>
#include <thread>

#include "base/format.h"

namespace mi::stream {
namespace {

constexpr size_t kErrorText = 512;

// Earlier versions confuse two nonces. Kafka rejects that since 4.0.
constexpr int kScramWorksWithKafka4 = 0x020601ff;
constexpr std::string_view kScramHint =
    "; if user and password are right: SCRAM with Kafka 4.0 or later needs librdkafka 2.6.1; use PLAIN over TLS "
    "instead";

using NewTopicPtr = std::unique_ptr<rd_kafka_NewTopic_t, KafkaFree<rd_kafka_NewTopic_destroy>>;
using ResourcePtr = std::unique_ptr<rd_kafka_ConfigResource_t, KafkaFree<rd_kafka_ConfigResource_destroy>>;
using ConfPtr = std::unique_ptr<rd_kafka_conf_t, KafkaFree<rd_kafka_conf_destroy>>;

Status Set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
  std::array<char, kErrorText> text{};
  if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), text.data(), text.size()) == RD_KAFKA_CONF_OK) return {};
  return Fail(Errc::kInvalid, format("librdkafka.{}: {}", name, text.data()));
}

std::string Join(const std::vector<std::string>& hosts) {
  std::string joined;
  for (const std::string& host : hosts) joined += (joined.empty() ? "" : ",") + host;
  return joined;
}

KafkaClient* Self(void* opaque) { return static_cast<KafkaClient*>(opaque); }

}  // namespace

Status CheckKafkaOptions(const std::map<std::string, std::string>& librdkafka) {
  const ConfPtr conf(rd_kafka_conf_new());
  for (const auto& [name, value] : librdkafka) TRY(Set(conf.get(), name, value));
  return {};
}

Result<std::unique_ptr<KafkaClient>> KafkaClient::Create(const KafkaClientSpec& spec, const KafkaOptions& options,
                                                         const StreamDeps& deps) {
  std::unique_ptr<KafkaClient> client(new KafkaClient(spec, options, deps));
  TRY(client->Open(spec, options));
  return client;
}

KafkaClient::KafkaClient(const KafkaClientSpec& spec, const KafkaOptions& options, const StreamDeps& deps)
    : hosts_option_(spec.hosts_option),
      topic_option_(spec.topic_option),
      hosts_(Join(options.hosts)),
      fatal_(deps.fatal),
      on_delivery_(spec.on_delivery),
      on_rebalance_(spec.on_rebalance),
      log_(&deps.log) {}

Status KafkaClient::Open(const KafkaClientSpec& spec, const KafkaOptions& options) {
  ConfPtr conf(rd_kafka_conf_new());
  KafkaSettings settings = spec.defaults;
  settings.insert(settings.end(), {{"client.id", "metric-index"},
                                   {"log.thread.name", "false"},
                                   {"reconnect.backoff.max.ms", "1000"},
                                   {"socket.keepalive.enable", "true"}});
  settings.insert(settings.end(), options.librdkafka.begin(), options.librdkafka.end());
  settings.insert(settings.end(), spec.fixed.begin(), spec.fixed.end());
  settings.emplace_back("bootstrap.servers", hosts_);
  for (const auto& [name, value] : settings) TRY(Set(conf.get(), name, value));

  rd_kafka_conf_set_opaque(conf.get(), this);
  rd_kafka_conf_set_log_cb(conf.get(), OnLog);
  rd_kafka_conf_set_error_cb(conf.get(), [](rd_kafka_t*, int code, const char* reason, void* self) {
    Self(self)->OnError(static_cast<rd_kafka_resp_err_t>(code), reason);
  });
  if (on_delivery_) {
    rd_kafka_conf_set_dr_msg_cb(conf.get(), [](rd_kafka_t*, const rd_kafka_message_t* record, void* self) {
      Self(self)->on_delivery_(*record);
    });
  }
  if (on_rebalance_) {
    rd_kafka_conf_set_rebalance_cb(
        conf.get(), [](rd_kafka_t*, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t* partitions, void* self) {
          Self(self)->on_rebalance_(what, *partitions);
        });
  }
  std::array<char, kErrorText> text{};
  handle_ = rd_kafka_new(spec.type, conf.get(), text.data(), text.size());
  if (handle_ == nullptr) return Fail(Errc::kInvalid, format("librdkafka: {}", text.data()));
  (void)conf.release();  // owned by the handle now
  if (spec.type == RD_KAFKA_CONSUMER) rd_kafka_poll_set_consumer(handle_);
  return {};
}

KafkaClient::~KafkaClient() {
  // Closing the consumer here would wait for brokers without a bound.
  if (handle_ != nullptr) rd_kafka_destroy_flags(handle_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

// librdkafka cannot destroy a handle that waits for a broker's answer: that blocks for up to socket.timeout.ms, a
// minute. Such a handle is silenced and kept until the process ends, which is when consumers leave their group.
void KafkaClient::Leave(std::unique_ptr<KafkaClient> client, std::chrono::milliseconds timeout) {
  if (client->CloseWithin(timeout)) return;
  client->Write(telemetry::Level::kWarn, "no broker answered the request to leave the group");
  KafkaClient* abandoned = client.release();  // never freed: librdkafka's threads still call it
  MutexLock lock(abandoned->log_mutex_);
  abandoned->log_ = nullptr;
}

// librdkafka closes a consumer in the background and sends the last rebalance to `queue`. It leaves the group after
// that is answered with an empty assignment. All other events of the queue are dropped.
bool KafkaClient::CloseWithin(std::chrono::milliseconds timeout) {
  constexpr int kSliceMs = 50;
  const KafkaQueuePtr queue(rd_kafka_queue_new(handle_));
  if (rd_kafka_error_t* error = rd_kafka_consumer_close_queue(handle_, queue.get()); error != nullptr) {
    rd_kafka_error_destroy(error);
    return true;  // it is closed already
  }
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (rd_kafka_consumer_closed(handle_) == 0 && std::chrono::steady_clock::now() < deadline) {
    // rd_kafka_queue_poll_callback would abort the process when it meets a record that was fetched but not polled.
    const KafkaEventPtr event(rd_kafka_queue_poll(queue.get(), kSliceMs));
    if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_REBALANCE) rd_kafka_assign(handle_, nullptr);
  }
  return rd_kafka_consumer_closed(handle_) != 0;
}

std::string KafkaClient::Setting(const std::string& name) const {
  std::array<char, kErrorText> value{};
  size_t size = value.size();
  if (rd_kafka_conf_get(rd_kafka_conf(handle_), name.c_str(), value.data(), &size) != RD_KAFKA_CONF_OK) return {};
  return value.data();
}

Status KafkaClient::Subscribe(const std::vector<std::string>& topics) {
  const KafkaPartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(topics.size())));
  for (const std::string& topic : topics) {
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
  }
  const rd_kafka_resp_err_t error = rd_kafka_subscribe(handle_, list.get());
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  return Fail(Explain(error, "join group " + Setting("group.id")));
}

void KafkaClient::OnLog(const rd_kafka_t* handle, int level, const char* facility, const char* line) {
  constexpr int kCritical = 2;  // syslog's levels
  constexpr int kWarning = 4;
  constexpr int kInfo = 6;
  const std::string_view text = line;
  // One section of options serves producers and consumers: each complains about the options of the other.
  if (text.contains("is a consumer property") || text.contains("is a producer property")) return;
  const auto to = level <= kCritical  ? telemetry::Level::kError
                  : level <= kWarning ? telemetry::Level::kWarn
                  : level <= kInfo    ? telemetry::Level::kInfo
                                      : telemetry::Level::kDebug;
  Self(rd_kafka_opaque(handle))->Write(to, format("{}: {}", facility, text));
}

void KafkaClient::Write(telemetry::Level level, std::string_view line) {
  MutexLock lock(log_mutex_);
  if (log_ != nullptr && log_->Enabled(level)) log_->Write(level, format("kafka: {}", line));
}

// librdkafka reports that connections fail, but not that they work again. So reports add up until ForgetDown(), which
// the owner calls after a broker has answered a question. A failed connection alone does not count as "down", because
// others may work. A refused login or certificate does, and its text is kept: the report that all brokers are down says
// less.
void KafkaClient::OnError(rd_kafka_resp_err_t code, std::string_view reason) {
  Write(telemetry::Level::kDebug, format("{}: {}", rd_kafka_err2name(code), reason));
  if (code == RD_KAFKA_RESP_ERR__FATAL) return ReportFatal();
  MutexLock lock(mutex_);
  if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
    all_down_ = true;
  } else if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL) {
    const bool too_old = reason.contains("SCRAM") && rd_kafka_version() < kScramWorksWithKafka4;
    refused_.emplace(Errc::kUnavailable, format("Kafka: {}{} ({})", reason, too_old ? kScramHint : "", OptionOf(code)));
  } else {
    last_reason_ = reason;
  }
}

void KafkaClient::ReportFatal() {
  std::array<char, kErrorText> text{};
  const rd_kafka_resp_err_t code = rd_kafka_fatal_error(handle_, text.data(), text.size());
  {
    MutexLock lock(mutex_);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || std::exchange(fatal_reported_, true)) return;
  }
  fatal_({Errc::kUnavailable, format("Kafka: {}: {} ({})", rd_kafka_err2name(code), text.data(), OptionOf(code))});
}

std::string_view KafkaClient::OptionOf(rd_kafka_resp_err_t error) const {
  switch (error) {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
      return "librdkafka.security.protocol, librdkafka.sasl.mechanisms, .sasl.username, .sasl.password";
    case RD_KAFKA_RESP_ERR__SSL: return "librdkafka.security.protocol, librdkafka.ssl.*";
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION: return topic_option_;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED: return "the broker's ACLs; librdkafka.sasl.username";
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE: return "librdkafka.message.timeout.ms";
    default: return hosts_option_;
  }
}

Error KafkaClient::Explain(rd_kafka_resp_err_t error, std::string_view context) const {
  const bool unreachable = error == RD_KAFKA_RESP_ERR__TRANSPORT || error == RD_KAFKA_RESP_ERR__TIMED_OUT ||
                           error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || error == RD_KAFKA_RESP_ERR__WAIT_COORD;
  std::string text = format("{}: {}", context, rd_kafka_err2str(error));
  if (unreachable) {
    MutexLock lock(mutex_);
    if (refused_) return refused_->Within(context);
    if (!last_reason_.empty()) text += format("; {}", last_reason_);
  }
  return {Errc::kUnavailable, format("{} ({})", text, OptionOf(error))};
}

std::optional<Error> KafkaClient::down() const {
  MutexLock lock(mutex_);
  if (refused_) return refused_;
  if (!all_down_) return std::nullopt;
  return Error(Errc::kUnavailable, format("Kafka: no broker of {} answers{}{} ({})", hosts_,
                                          last_reason_.empty() ? "" : ": ", last_reason_, hosts_option_));
}

void KafkaClient::ForgetDown() {
  MutexLock lock(mutex_);
  refused_.reset();
  last_reason_.clear();
  all_down_ = false;
}

Result<KafkaClient::Topic> KafkaClient::AskTopic(const std::string& topic, std::chrono::milliseconds timeout) const {
  const KafkaTopicPtr only(rd_kafka_topic_new(handle_, topic.c_str(), nullptr));
  if (only == nullptr) return Fail(Explain(rd_kafka_last_error(), "topic " + topic));
  const rd_kafka_metadata_t* answer = nullptr;
  const rd_kafka_resp_err_t error =
      rd_kafka_metadata(handle_, 0, only.get(), &answer, static_cast<int>(timeout.count()));
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return Fail(Explain(error, "Kafka"));
  const std::unique_ptr<const rd_kafka_metadata_t, KafkaFree<rd_kafka_metadata_destroy>> metadata(answer);
  if (metadata->topic_cnt != 1) {
    return Fail(Errc::kUnavailable, format("Kafka's answer does not mention topic {}", topic));
  }
  const rd_kafka_metadata_topic_t& found = metadata->topics[0];
  if (found.err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) return Topic{};
  if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR && found.err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) {
    return Fail(Explain(found.err, "topic " + topic));
  }
  Topic state{.exists = true, .partitions = found.partition_cnt, .with_leader = 0};
  for (int i = 0; i < found.partition_cnt; ++i) state.with_leader += found.partitions[i].leader >= 0 ? 1 : 0;
  return state;
}

Result<KafkaClient::Offsets> KafkaClient::AskOffsets(const std::string& topic, int32_t partition,
                                                     std::chrono::milliseconds timeout) const {
  Offsets offsets;
  const rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(handle_, topic.c_str(), partition, &offsets.first,
                                                                     &offsets.end, static_cast<int>(timeout.count()));
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return offsets;
  return Fail(Explain(error, format("offsets of topic {}, partition {}", topic, partition)));
}

KafkaAdminOptionsPtr KafkaClient::AdminOptions(rd_kafka_admin_op_t operation, std::chrono::milliseconds timeout) const {
  std::array<char, 256> text{};
  KafkaAdminOptionsPtr options(rd_kafka_AdminOptions_new(handle_, operation));
  rd_kafka_AdminOptions_set_request_timeout(options.get(), static_cast<int>(timeout.count()), text.data(), text.size());
  return options;
}

// The answer to one request.
Result<KafkaEventPtr> KafkaClient::AwaitAnswer(rd_kafka_queue_t* queue, const std::string& what,
                                               std::chrono::milliseconds timeout) const {
  // The request has a timeout of its own. This longer one covers an answer that never comes.
  KafkaEventPtr event(rd_kafka_queue_poll(queue, 2 * static_cast<int>(timeout.count())));
  if (event == nullptr) return Fail(Explain(RD_KAFKA_RESP_ERR__TIMED_OUT, what));
  const rd_kafka_resp_err_t error = rd_kafka_event_error(event.get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return Fail(Explain(error, what));
  return event;
}

// The controller has created the topic; the other brokers learn of it a little later. Asking also updates the handle,
// which would otherwise look again only with its next periodic refresh.
Status KafkaClient::AwaitTopic(const std::string& topic, std::chrono::milliseconds timeout) const {
  constexpr std::chrono::milliseconds kPause{10};
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const Topic found = TRY(AskTopic(topic, timeout));
    if (found.exists && found.with_leader == found.partitions) return {};
    if (std::chrono::steady_clock::now() >= deadline) {
      return Fail(Errc::kUnavailable, format("Kafka: topic {} was created, but is not ready", topic));
    }
    std::this_thread::sleep_for(kPause);
  }
}

Status KafkaClient::CreateTopic(const KafkaNewTopic& topic, std::chrono::milliseconds timeout) const {
  const std::string what = "create topic " + topic.name;
  std::array<char, 256> text{};
  const NewTopicPtr wanted(rd_kafka_NewTopic_new(topic.name.c_str(), topic.partitions, -1, text.data(), text.size()));
  if (wanted == nullptr) return Fail(Errc::kInvalid, format("{}: {}", what, text.data()));
  for (const auto& [name, value] : topic.settings) {
    rd_kafka_NewTopic_set_config(wanted.get(), name.c_str(), value.c_str());
  }
  const KafkaQueuePtr queue(rd_kafka_queue_new(handle_));
  rd_kafka_NewTopic_t* one = wanted.get();
  rd_kafka_CreateTopics(handle_, &one, 1, AdminOptions(RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout).get(), queue.get());
  const KafkaEventPtr event = TRY(AwaitAnswer(queue.get(), what, timeout));
  size_t count = 0;
  const auto* results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
  if (count != 1) return Fail(Errc::kUnavailable, format("{}: no answer", what));
  const rd_kafka_resp_err_t error = rd_kafka_topic_result_error(results[0]);
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR || error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
    return AwaitTopic(topic.name, timeout);
  }
  const char* reason = rd_kafka_topic_result_error_string(results[0]);
  return Fail(Explain(error, reason == nullptr ? what : format("{}: {}", what, reason)));
}

Result<std::map<std::string, std::string>> KafkaClient::ReadTopicSettings(const std::string& topic,
                                                                          std::chrono::milliseconds timeout) const {
  const std::string what = "read the settings of topic " + topic;
  const ResourcePtr resource(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
  const KafkaQueuePtr queue(rd_kafka_queue_new(handle_));
  rd_kafka_ConfigResource_t* one = resource.get();
  rd_kafka_DescribeConfigs(handle_, &one, 1, AdminOptions(RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout).get(),
                           queue.get());
  const KafkaEventPtr event = TRY(AwaitAnswer(queue.get(), what, timeout));
  size_t count = 0;
  const auto* described =
      rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event.get()), &count);
  if (count != 1) return Fail(Errc::kUnavailable, format("{}: no answer", what));
  if (const rd_kafka_resp_err_t error = rd_kafka_ConfigResource_error(described[0]);
      error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return Fail(Explain(error, what));
  }
  size_t entries = 0;
  const auto* found = rd_kafka_ConfigResource_configs(described[0], &entries);
  std::map<std::string, std::string> settings;
  for (size_t i = 0; i < entries; ++i) {
    const char* value = rd_kafka_ConfigEntry_value(found[i]);
    settings[rd_kafka_ConfigEntry_name(found[i])] = value == nullptr ? "" : value;
  }
  return settings;
}

}  // namespace mi::stream
