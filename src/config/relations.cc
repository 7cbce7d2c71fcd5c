#include "config/relations.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/format.h"
#include "base/quantity.h"
#include "base/quote.h"

namespace mi::config {
namespace {

std::string Written(milliseconds duration) { return WriteDuration(static_cast<uint64_t>(duration.count())); }

class Relations {
 public:
  explicit Relations(Draft& draft) : draft_(draft), config_(draft.config) {}

  void Check() {
    Times();
    Sizes();
    Mysql();
    Roles();
    Kafka();
    Remote();
    Listener();
  }

 private:
  // The fault is placed where `path` was set, or else where `other` was set, whose new value conflicts with the default
  // of `path`.
  void Require(bool holds, const std::string& path, std::string_view text, const std::string& other = {}) {
    if (holds) return;
    const auto& blamed = draft_.origins.contains(path) || other.empty() ? path : other;
    draft_.AddFault(draft_.OriginOf(blamed), mi::format("{} {}", path, text));
  }

  // Both in the file, or both in the environment, are probably a mistake. A flag over a file is not.
  void Listener() {
    const auto port = draft_.OriginOf("app.port");
    const auto listen = draft_.OriginOf("app.listen");
    if (config_.server.listen.empty() || port.line == 0 || port.name != listen.name) return;
    draft_.warnings.push_back(mi::format("{}: app.port does not count, app.listen wins ({})", port.ToString(),
                                         Quoted(config_.server.listen)));
  }

  void Times() {
    const auto& writes = config_.redis_writes;
    Require(!writes.expires || writes.spread < writes.expire, "metric_store.cache.dist_interval",
            mi::format("is {}; it must be below metric_store.cache.expire, {}", Written(writes.spread),
                       Written(writes.expire)),
            "metric_store.cache.expire");
    const std::chrono::seconds idle_expire(config_.seen.idle_expire_s);
    const std::chrono::seconds interval(config_.seen.activity_interval_s);
    Require(idle_expire >= interval, "metric_store.cache.idle_expire",
            mi::format("is {}; entries must outlive a catalog.activity_interval, {}", Written(idle_expire),
                       Written(interval)),
            "catalog.activity_interval");
    // The table counts an entry's age in activity windows, up to 240 of them. It must be swept before the count wraps.
    constexpr int kMaxWindows = 30;
    Require(config_.seen.cleanup_interval <= kMaxWindows * interval, "metric_store.cache.cleanup_interval",
            mi::format("is {}; it cannot be above {} times catalog.activity_interval, {}",
                       Written(config_.seen.cleanup_interval), kMaxWindows, Written(interval)),
            "catalog.activity_interval");
  }

  void Sizes() {
    const auto& receive = config_.receive;
    const auto at_most = [&](uint64_t value, std::string_view key, uint64_t limit, std::string_view limit_key) {
      Require(value <= limit, "receive." + std::string(key),
              mi::format("is {}; it cannot be above receive.{}, {}", WriteBytes(value), limit_key, WriteBytes(limit)),
              "receive." + std::string(limit_key));
    };
    const auto& series = receive.series;
    at_most(series.max_series_bytes, "max_series_bytes", receive.max_decoded_bytes, "max_decoded_bytes");
    at_most(series.max_name_bytes, "max_name_bytes", series.max_series_bytes, "max_series_bytes");
    at_most(series.max_value_bytes, "max_value_bytes", series.max_series_bytes, "max_series_bytes");
    // A body is kept in a block of a power of two.
    const uint64_t least = 2 * receive.max_body_bytes;
    const uint64_t buffered = config_.server.max_buffered_bytes;
    Require(buffered == 0 || buffered >= least, "receive.max_buffered_bytes",
            mi::format("is {}; it must be 0, or at least twice receive.max_body_bytes, {}", WriteBytes(buffered),
                       WriteBytes(least)),
            "receive.max_body_bytes");
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
    const uint64_t workers = config_.app.work_num;
    Require(!Is(Role::kConsumer) || mysql.max_open_conns >= workers + kBesideWorkers, "mysql.max_open_conns",
            mi::format("is {}; role {} needs one for each of metric_store.consumer.work_num, {}, and {} more",
                       mysql.max_open_conns, ToString(config_.app.role_type), workers, kBesideWorkers),
            "metric_store.consumer.work_num");
  }

  bool Is(Role role) const { return config_.app.role_type == role || config_.app.role_type == Role::kAll; }

  void Roles() {
    const auto needs = [&](Role role, bool empty, const std::string& path, std::string_view what) {
      Require(!Is(role) || !empty, path,
              mi::format("is empty; role {} needs {}", ToString(config_.app.role_type), what), "app.role_type");
    };
    needs(Role::kProducer, config_.publisher.kafka.hosts.empty(), "metric_store.producer.hosts",
          "the Kafka brokers to publish to");
    needs(Role::kConsumer, config_.consumer.kafka.hosts.empty(), "metric_store.consumer.hosts",
          "the Kafka brokers to read from");
    needs(Role::kConsumer, config_.consumer.topics.empty(), "metric_store.consumer.topics", "at least one topic");
  }

  // Options of librdkafka that could break a promise of this service, with the values that keep it.
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
    for (size_t i = 0; i < config_.remote_write.size(); ++i) {
      const auto& write = config_.remote_write[i];
      const std::string path = mi::format("remote.write[{}]", i);
      Require(!write.enabled || !write.url.empty(), path + ".enabled", "is true, but there is no url");
      if (!write.enabled && !write.url.empty()) {
        draft_.warnings.push_back(path + ": a url is set, but nothing is passed on to it: enabled is false");
      }
      if (write.enabled && write.when_full == forward::WhenFull::kBlock &&
          write.queue_bytes < config_.receive.max_body_bytes) {
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
