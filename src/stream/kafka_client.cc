#include "stream/kafka_client.h"

#include <array>
#include <new>

#include "base/format.h"

namespace mi::stream {
namespace {

constexpr size_t kErrorText = 512;

// Earlier ones confuse two nonces, which Kafka has stopped to forgive with 4.0.
constexpr int kScramOfKafka4 = 0x020601ff;
constexpr std::string_view kScramHint =
    "; if user and password are right: SCRAM with Kafka 4.0 or later needs librdkafka 2.6.1; use PLAIN over TLS "
    "instead";

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

}  // namespace

Status CheckKafkaOptions(const std::map<std::string, std::string>& librdkafka) {
  const ConfPtr conf(rd_kafka_conf_new());
  for (const auto& [name, value] : librdkafka) {
    if (Status set = Set(conf.get(), name, value); !set) return set;
  }
  return {};
}

Result<std::unique_ptr<KafkaClient>> KafkaClient::Create(const KafkaClientSpec& spec, const KafkaOptions& options,
                                                         telemetry::Logger& log, KafkaEvents* events) {
  std::unique_ptr<KafkaClient> client(new KafkaClient(spec, options, log, events));
  ConfPtr conf(rd_kafka_conf_new());
  KafkaSettings settings = spec.defaults;
  settings.insert(settings.end(), {{"client.id", "metric-index"},
                                   {"log.thread.name", "false"},
                                   {"reconnect.backoff.max.ms", "1000"},
                                   {"socket.keepalive.enable", "true"}});
  settings.insert(settings.end(), options.librdkafka.begin(), options.librdkafka.end());
  settings.insert(settings.end(), spec.fixed.begin(), spec.fixed.end());
  settings.emplace_back("bootstrap.servers", client->hosts_);
  for (const auto& [name, value] : settings) {
    if (Status set = Set(conf.get(), name, value); !set) return Fail(set.error());
  }
  rd_kafka_conf_set_opaque(conf.get(), client.get());
  rd_kafka_conf_set_log_cb(conf.get(), OnLog);
  rd_kafka_conf_set_error_cb(conf.get(), OnError);
  if (spec.type == RD_KAFKA_PRODUCER) {
    rd_kafka_conf_set_dr_msg_cb(conf.get(), [](rd_kafka_t*, const rd_kafka_message_t* record, void* self) {
      if (KafkaEvents* to = static_cast<KafkaClient*>(self)->events_) to->OnDelivery(*record);
    });
  } else if (events != nullptr) {
    rd_kafka_conf_set_rebalance_cb(
        conf.get(), [](rd_kafka_t*, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t* partitions, void* self) {
          static_cast<KafkaClient*>(self)->events_->OnRebalance(what, *partitions);
        });
  }
  std::array<char, kErrorText> text{};
  client->handle_ = rd_kafka_new(spec.type, conf.get(), text.data(), text.size());
  if (client->handle_ == nullptr) return Fail(Errc::kInvalid, format("librdkafka: {}", text.data()));
  (void)conf.release();  // the handle's now
  return client;
}

KafkaClient::KafkaClient(const KafkaClientSpec& spec, const KafkaOptions& options, telemetry::Logger& log,
                         KafkaEvents* events)
    : hosts_knob_(spec.hosts_knob),
      topic_knob_(spec.topic_knob),
      hosts_(Join(options.hosts)),
      events_(events),
      log_(&log) {}

KafkaClient::~KafkaClient() {
  // Closing is Leave()'s: on its own this would wait for brokers as long as a request may take.
  if (handle_ != nullptr) rd_kafka_destroy_flags(handle_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

void KafkaClient::Leave(std::unique_ptr<KafkaClient> client, std::chrono::milliseconds timeout) {
  if (client->Closed(timeout)) return;
  client->Write(telemetry::Level::kWarn, "the group could not be left in order: no broker answers");
  {
    MutexLock lock(client->log_mutex_);
    client->log_ = nullptr;
  }
  static Mutex mutex;
  static auto* const abandoned = new std::vector<std::unique_ptr<KafkaClient>>();  // never freed, nor are they
  MutexLock lock(mutex);
  abandoned->push_back(std::move(client));
}

bool KafkaClient::Closed(std::chrono::milliseconds timeout) {
  constexpr int kSliceMs = 50;
  const std::unique_ptr<rd_kafka_queue_t, KafkaFree<rd_kafka_queue_destroy>> queue(rd_kafka_queue_new(handle_));
  if (rd_kafka_error_t* error = rd_kafka_consumer_close_queue(handle_, queue.get()); error != nullptr) {
    rd_kafka_error_destroy(error);
    return true;  // it has ended by itself
  }
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (rd_kafka_consumer_closed(handle_) == 0 && std::chrono::steady_clock::now() < deadline) {
    // Not rd_kafka_queue_poll_callback, which aborts the process over a fetched record that nobody has polled.
    const std::unique_ptr<rd_kafka_event_t, KafkaFree<rd_kafka_event_destroy>> event(
        rd_kafka_queue_poll(queue.get(), kSliceMs));
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

void KafkaClient::OnLog(const rd_kafka_t* handle, int level, const char* facility, const char* line) {
  constexpr int kCritical = 2;
  constexpr int kWarning = 4;
  constexpr int kInfo = 6;
  auto* self = static_cast<KafkaClient*>(rd_kafka_opaque(handle));
  const std::string_view text = line;
  // One section of options serves producers and consumers; each says which ones are the other's.
  if (text.find("is a consumer property") != text.npos || text.find("is a producer property") != text.npos) return;
  const auto to = level <= kCritical  ? telemetry::Level::kError
                  : level <= kWarning ? telemetry::Level::kWarn
                  : level <= kInfo    ? telemetry::Level::kInfo
                                      : telemetry::Level::kDebug;
  try {
    self->Write(to, format("{}: {}", facility, text));
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch)
    // Called from C, which no exception may pass; a line of log is little to lose.
  }
}

void KafkaClient::Write(telemetry::Level level, std::string_view line) {
  MutexLock lock(log_mutex_);
  if (log_ != nullptr && log_->Enabled(level)) log_->Write(level, format("kafka: {}", line));
}

void KafkaClient::OnError(rd_kafka_t* /*handle*/, int code, const char* reason, void* self) {
  try {
    static_cast<KafkaClient*>(self)->NoteError(static_cast<rd_kafka_resp_err_t>(code), reason);
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch)
    // Called from C, as OnLog is. It is told again.
  }
}

void KafkaClient::NoteError(rd_kafka_resp_err_t code, std::string_view reason) {
  Write(telemetry::Level::kDebug, format("{}: {}", rd_kafka_err2name(code), reason));
  const std::string_view knob = KnobOf(code);
  MutexLock lock(mutex_);
  if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
    all_down_ = true;
  } else if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL) {
    const bool too_old = reason.contains("SCRAM") && rd_kafka_version() < kScramOfKafka4;
    refused_.emplace(Errc::kUnavailable, format("Kafka: {}{} ({})", reason, too_old ? kScramHint : "", knob));
  } else if (code != RD_KAFKA_RESP_ERR__FATAL) {
    last_reason_ = reason;
  }
}

std::string_view KafkaClient::KnobOf(rd_kafka_resp_err_t error) const {
  switch (error) {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
      return "librdkafka.security.protocol, librdkafka.sasl.mechanisms, .sasl.username, .sasl.password";
    case RD_KAFKA_RESP_ERR__SSL: return "librdkafka.security.protocol, librdkafka.ssl.*";
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION: return topic_knob_;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED: return "the broker's ACLs; librdkafka.sasl.username";
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE: return "librdkafka.message.timeout.ms";
    default: return hosts_knob_;
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
  return {Errc::kUnavailable, format("{} ({})", text, KnobOf(error))};
}

std::optional<Error> KafkaClient::down() const {
  MutexLock lock(mutex_);
  if (refused_) return refused_;
  if (!all_down_) return std::nullopt;
  return Error(Errc::kUnavailable, format("Kafka: no broker of {} answers{}{} ({})", hosts_,
                                          last_reason_.empty() ? "" : ": ", last_reason_, hosts_knob_));
}

void KafkaClient::ForgetDown() {
  MutexLock lock(mutex_);
  refused_.reset();
  last_reason_.clear();
  all_down_ = false;
}

std::optional<Error> KafkaClient::fatal() const {
  std::array<char, kErrorText> text{};
  const rd_kafka_resp_err_t code = rd_kafka_fatal_error(handle_, text.data(), text.size());
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return std::nullopt;
  return Error(Errc::kUnavailable, format("Kafka: {}: {} ({})", rd_kafka_err2name(code), text.data(), KnobOf(code)));
}

Result<KafkaClient::Topic> KafkaClient::AskTopic(const std::string& topic, std::chrono::milliseconds timeout) const {
  const KafkaTopicPtr only(rd_kafka_topic_new(handle_, topic.c_str(), nullptr));
  if (only == nullptr) return Fail(Explain(rd_kafka_last_error(), "topic " + topic));
  const rd_kafka_metadata_t* answer = nullptr;
  const rd_kafka_resp_err_t error =
      rd_kafka_metadata(handle_, 0, only.get(), &answer, static_cast<int>(timeout.count()));
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return Fail(Explain(error, "Kafka"));
  const std::unique_ptr<const rd_kafka_metadata_t, KafkaFree<rd_kafka_metadata_destroy>> metadata(answer);
  if (metadata->topic_cnt != 1) return Fail(Errc::kUnavailable, format("Kafka says nothing about topic {}", topic));
  const rd_kafka_metadata_topic_t& found = metadata->topics[0];
  if (found.err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) return Topic{};
  if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR && found.err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) {
    return Fail(Explain(found.err, "topic " + topic));
  }
  Topic state{.exists = true, .partitions = found.partition_cnt, .with_leader = 0};
  for (int i = 0; i < found.partition_cnt; ++i) state.with_leader += found.partitions[i].leader >= 0 ? 1 : 0;
  return state;
}

}  // namespace mi::stream
