#include "config/relations.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/format.h"
#include "base/quantity.h"
#include "base/quote.h"

namespace mi::config {
namespace {

std::string Seconds(milliseconds duration) { return WriteDuration(static_cast<uint64_t>(duration.count())); }

class Relations {
 public:
  explicit Relations(Draft& draft) : draft_(draft), config_(draft.config) {}

  void Check() {
    Times();
    Sweeps();
    Sizes();
    Mysql();
    Roles();
    Kafka();
    Remote();
    Listener();
  }

 private:
  // A fault stands where `path` was set, or else where `other` was, which does not go with its default.
  void Require(bool holds, const std::string& path, std::string_view text, const std::string& other = {}) {
    if (holds) return;
    const auto& blamed = draft_.origins.contains(path) || other.empty() ? path : other;
    draft_.AddFault(draft_.OriginOf(blamed), mi::format("{} {}", path, text));
  }

  // Both in the file, or both in the environment: probably a slip. A flag over a file is not.
  void Listener() {
    const auto port = draft_.OriginOf("app.port");
    const auto listen = draft_.OriginOf("app.listen");
    if (config_.app.listen.empty() || port.line == 0 || port.name != listen.name) return;
    draft_.warnings.push_back(
        mi::format("{}: app.port does not count, app.listen wins ({})", port.ToString(), Quoted(config_.app.listen)));
  }

  void Times() {
    const auto& cache = config_.metric_store.cache;
    Require(!cache.isexpire || cache.dist_interval < cache.expire, "metric_store.cache.dist_interval",
            mi::format("is {}; it must be below metric_store.cache.expire, {}", Seconds(cache.dist_interval),
                       Seconds(cache.expire)),
            "metric_store.cache.expire");
    Require(cache.idle_expire >= config_.catalog.activity_interval, "metric_store.cache.idle_expire",
            mi::format("is {}; entries must outlive a catalog.activity_interval, {}", Seconds(cache.idle_expire),
                       Seconds(config_.catalog.activity_interval)),
            "catalog.activity_interval");
  }

  // The table tells an entry's age in activity windows, up to 240 of them; beyond, it would be young again.
  void Sweeps() {
    constexpr int kMostWindows = 30;
    const auto& cache = config_.metric_store.cache;
    Require(cache.cleanup_interval <= kMostWindows * config_.catalog.activity_interval,
            "metric_store.cache.cleanup_interval",
            mi::format("is {}; it cannot be above {} times catalog.activity_interval, {}",
                       Seconds(cache.cleanup_interval), kMostWindows, Seconds(config_.catalog.activity_interval)),
            "catalog.activity_interval");
  }

  void Sizes() {
    const auto& receive = config_.receive;
    const auto at_most = [&](uint64_t value, std::string_view key, uint64_t limit, std::string_view limit_key) {
      Require(value <= limit, "receive." + std::string(key),
              mi::format("is {}; it cannot be above receive.{}, {}", WriteBytes(value), limit_key, WriteBytes(limit)),
              "receive." + std::string(limit_key));
    };
    at_most(receive.max_series_bytes, "max_series_bytes", receive.max_decoded_bytes, "max_decoded_bytes");
    at_most(receive.max_name_bytes, "max_name_bytes", receive.max_series_bytes, "max_series_bytes");
    at_most(receive.max_value_bytes, "max_value_bytes", receive.max_series_bytes, "max_series_bytes");
  }

  void Mysql() {
    const auto& mysql = config_.mysql;
    Require(
        mysql.max_idle_conns <= mysql.max_open_conns, "mysql.max_idle_conns",
        mi::format("is {}; it cannot be above mysql.max_open_conns, {}", mysql.max_idle_conns, mysql.max_open_conns),
        "mysql.max_open_conns");
    Require(mysql.tls.cert.empty() == mysql.tls.key.empty(),
            mysql.tls.cert.empty() ? "mysql.tls.key" : "mysql.tls.cert",
            "needs the other of mysql.tls.cert and mysql.tls.key too");
    // A worker that waits for a connection holds up its partitions.
    constexpr uint64_t kBesideWorkers = 2;
    const uint64_t workers = config_.metric_store.consumer.work_num;
    const Role role = config_.app.role_type;
    Require((role != Role::kConsumer && role != Role::kAll) || mysql.max_open_conns >= workers + kBesideWorkers,
            "mysql.max_open_conns",
            mi::format("is {}; role {} needs one for each of metric_store.consumer.work_num, {}, and {} more",
                       mysql.max_open_conns, ToString(role), workers, kBesideWorkers),
            "metric_store.consumer.work_num");
  }

  void Roles() {
    const Role role = config_.app.role_type;
    const auto& store = config_.metric_store;
    const bool all = role == Role::kAll;
    const auto needs = [&](std::string_view brokers) {
      return mi::format("is empty; role {} needs {}", ToString(role), brokers);
    };
    Require(!(all || role == Role::kProducer) || !store.producer.hosts.empty(), "metric_store.producer.hosts",
            needs("the Kafka brokers to publish to"), "app.role_type");
    Require(!(all || role == Role::kConsumer) || !store.consumer.hosts.empty(), "metric_store.consumer.hosts",
            needs("the Kafka brokers to read from"), "app.role_type");
    Require(!(all || role == Role::kConsumer) || !store.consumer.topics.empty(), "metric_store.consumer.topics",
            needs("at least one topic"), "app.role_type");
  }

  // Options of librdkafka that would break a promise, with the values that do not.
  void Kafka() {
    struct Fixed {
      std::string_view option;
      std::string_view legal;  // '' = none
      std::string_view why;
    };
    constexpr std::string_view kDurable = "an answer means that the brokers have it";
    constexpr std::string_view kPositions = "positions are stored only with the data they cover";
    constexpr std::array<Fixed, 21> kFixed = {{
        {"acks", "all|-1", kDurable},
        {"request.required.acks", "all|-1", kDurable},
        {"enable.idempotence", "true", "records must neither be doubled nor reordered by a retry"},
        {"enable.gapless.guarantee", "false", "one record that is refused must not stop all others"},
        {"enable.auto.commit", "false", kPositions},
        {"auto.commit.enable", "false", kPositions},
        {"enable.auto.offset.store", "false", kPositions},
        {"auto.offset.reset", "", "metric_store.consumer.offset_type says it"},
        {"partition.assignment.strategy", "range|roundrobin|range,roundrobin|roundrobin,range",
         "cooperative-sticky loses partitions in the librdkafka that is linked"},
        {"bootstrap.servers", "", "metric_store.producer.hosts and metric_store.consumer.hosts say it"},
        {"metadata.broker.list", "", "metric_store.producer.hosts and metric_store.consumer.hosts say it"},
        {"group.id", "", "metric_store.consumer.group_id says it"},
        {"plugin.library.paths", "", "code is not loaded from a configuration"},
        {"ssl.engine.location", "", "code is not loaded from a configuration"},
        {"enable.partition.eof", "false", "the end of a partition is no record"},
        {"delivery.report.only.error", "false", kDurable},
        {"enabled_events", "0", kDurable},
        {"test.mock.num.brokers", "0", kDurable},
        {"transactional.id", "", "publishing is not transactional, nothing would ever be acknowledged"},
        {"group.instance.id", "",
         "the workers of a process are members of their own, with one name they shut each other out"},
        {"partitioner", "consistent|consistent_random|murmur2|murmur2_random|fnv1a|fnv1a_random",
         "records of a series belong into one partition, or compaction keeps several"},
    }};
    // 0 means no bound.
    constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kBounded = {{
        {"message.timeout.ms", "a request is answered although Kafka is away"},
        {"delivery.timeout.ms", "a request is answered although Kafka is away"},
        {"queue.buffering.max.messages", "no queue is unbounded"},
    }};
    for (const auto& [option, why] : kBounded) {
      const auto at = config_.librdkafka.find(std::string(option));
      Require(at == config_.librdkafka.end() || at->second.find_first_not_of('0') != std::string::npos,
              "librdkafka." + std::string(option), mi::format("cannot be 0, which is no limit: {}", why));
    }
    for (const auto& [option, legal, why] : kFixed) {
      const auto at = config_.librdkafka.find(std::string(option));
      if (at == config_.librdkafka.end() || IsOneOf(at->second, legal)) continue;
      Require(false, "librdkafka." + std::string(option),
              legal.empty() ? mi::format("cannot be set: {}", why)
                            : mi::format("cannot be {}: {} (only {})", Quoted(at->second), why, legal));
    }
  }

  static bool IsOneOf(std::string_view value, std::string_view choices) {
    while (!choices.empty()) {
      const size_t end = std::min(choices.find('|'), choices.size());
      if (choices.substr(0, end) == value) return true;
      choices.remove_prefix(std::min(end + 1, choices.size()));
    }
    return false;
  }

  void Remote() {
    size_t element = 0;
    for (const auto& write : config_.remote.write) {
      const std::string path = mi::format("remote.write[{}]", element++);
      Require(!write.enabled || !write.url.empty(), path + ".enabled", "is true, but there is no url");
      if (!write.enabled && !write.url.empty()) {
        draft_.warnings.push_back(path + ": a url is set, but nothing is passed on to it: enabled is false");
      }
      if (write.enabled && write.when_full == "block" && write.queue_bytes < config_.receive.max_body_bytes) {
        draft_.warnings.push_back(
            mi::format("{}.queue_bytes is {}: a request above it is dropped although when_full is block; "
                       "receive.max_body_bytes is {}",
                       path, WriteBytes(write.queue_bytes), WriteBytes(config_.receive.max_body_bytes)));
      }
    }
  }

  Draft& draft_;
  const Config& config_;
};

}  // namespace

void CheckRelations(Draft& draft) { Relations(draft).Check(); }

}  // namespace mi::config
