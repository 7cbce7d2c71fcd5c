#include "app/role_options.h"

#include <algorithm>
#include <thread>

namespace mi::app {
namespace {

uint64_t Seconds(std::chrono::milliseconds duration) { return static_cast<uint64_t>(duration.count()) / 1000; }

stream::KafkaOptions KafkaOptionsOf(const config::Config& config, const std::vector<std::string>& hosts) {
  return {.hosts = hosts, .librdkafka = config.librdkafka, .identity_secret = config.identity.secret};
}

}  // namespace

telemetry::LogOptions LogOptionsOf(const config::Config& config) {
  const bool dev = config.app.mode == "dev";
  return {.app = config.app.name,
          .level = dev ? "debug" : config.log.level,
          .filename = config.log.filename,
          .format = config.log.format,
          .max_size_mb = config.log.max_size,
          .max_age_days = config.log.max_age,
          .max_backups = config.log.max_backups,
          .also_stderr = dev};
}

net::ServerOptions ServerOptionsOf(const config::Config& config) {
  net::ServerOptions options;
  options.listen = config.app.ListenAddress();
  options.threads = config.app.threads > 0 ? static_cast<unsigned>(config.app.threads)
                                           : std::max(1U, std::thread::hardware_concurrency());
  options.max_connections = config.receive.max_connections;
  options.idle_timeout = config.receive.idle_timeout;
  return options;
}

net::ServerLimits ServerLimitsOf(const config::Config& config) {
  return {.max_connections = config.receive.max_connections, .idle_timeout = config.receive.idle_timeout};
}

receive::ReceiveOptions ReceiveOptionsOf(const config::Config& config) {
  return {.max_body_bytes = config.receive.max_body_bytes,
          .max_decoded_bytes = config.receive.max_decoded_bytes,
          .series = {.max_series_bytes = config.receive.max_series_bytes,
                     .max_labels = config.receive.max_labels,
                     .max_name_bytes = config.receive.max_name_bytes,
                     .max_value_bytes = config.receive.max_value_bytes,
                     .require_metric_name = config.receive.require_metric_name},
          .answer_timeout = config.receive.answer_timeout};
}

dedupe::SeenOptions SeenOptionsOf(const config::Config& config) {
  return {.activity_interval_s = Seconds(config.catalog.activity_interval),
          .idle_expire_s = Seconds(config.metric_store.cache.idle_expire),
          .confirm_after_s = 0,
          .max_series = config.metric_store.cache.max_series};
}

dedupe::SeenOptions FleetSeenOptionsOf(const config::Config& config) {
  dedupe::SeenOptions options = SeenOptionsOf(config);
  options.confirm_after_s = Seconds(config.metric_store.cache.default_expire);
  return options;
}

dedupe::RedisOptions RedisOptionsOf(const config::Config& config) {
  return {.host = config.redis.host,
          .port = config.redis.port,
          .username = config.redis.username,
          .password = config.redis.password,
          .db = config.redis.db,
          .pool_size = config.redis.pool_size,
          .timeout = config.redis.timeout};
}

dedupe::RedisWriteOptions RedisWriteOptionsOf(const config::Config& config) {
  const config::CacheOptions& cache = config.metric_store.cache;
  return {.expires = cache.isexpire,
          .expire = cache.expire,
          .spread = cache.dist_interval,
          .workers = cache.worker_num,
          .flush_keys = cache.flush_lens,
          .flush_interval = cache.flush_interval};
}

stream::KafkaPublisherOptions KafkaPublisherOptionsOf(const config::Config& config) {
  stream::KafkaPublisherOptions options;
  options.kafka = KafkaOptionsOf(config, config.metric_store.producer.hosts);
  options.topic = config.metric_store.producer.topic;
  options.activity_interval = std::chrono::seconds(Seconds(config.catalog.activity_interval));
  options.stop_timeout = std::max(config.app.shutdown_timeout / 4, std::chrono::milliseconds(500));
  return options;
}

stream::KafkaConsumerOptions KafkaConsumerOptionsOf(const config::Config& config) {
  const config::ConsumerOptions& consumer = config.metric_store.consumer;
  return {.kafka = KafkaOptionsOf(config, consumer.hosts),
          .topics = consumer.topics,
          .group_id = consumer.group_id,
          .offset_type = consumer.offset_type};
}

store::MysqlOptions MysqlOptionsOf(const config::Config& config) {
  const config::MysqlOptions& mysql = config.mysql;
  return {.host = mysql.host,
          .port = static_cast<uint16_t>(mysql.port),
          .socket = mysql.socket,
          .user = mysql.user,
          .password = mysql.password,
          .db_name = mysql.db_name,
          .max_open_conns = mysql.max_open_conns,
          .max_idle_conns = mysql.max_idle_conns,
          .tls = {.mode = mysql.tls.mode, .ca = mysql.tls.ca, .cert = mysql.tls.cert, .key = mysql.tls.key},
          .secret_check = model::SecretCheck(config.identity.secret)};
}

std::vector<forward::TargetOptions> RemoteWriteTargetsOf(const config::Config& config) {
  std::vector<forward::TargetOptions> targets;
  for (const config::RemoteWriteOptions& write : config.remote.write) {
    if (!write.enabled) continue;
    const bool blocks = write.when_full == "block";
    targets.push_back({.url = write.url,
                       .content_type = write.content_type,
                       .queue_bytes = write.queue_bytes,
                       .when_full = blocks ? forward::WhenFull::kBlock : forward::WhenFull::kDropOldest,
                       .connect_timeout = write.connect_timeout,
                       .timeout = write.timeout});
  }
  return targets;
}

std::optional<forward::TargetOptions> RemoteSendTargetOf(const config::Config& config) {
  const config::RemoteSendOptions& send = config.remote.send;
  if (send.url.empty()) return std::nullopt;
  return forward::TargetOptions{.url = send.url, .content_type = send.content_type};
}

catalog::FollowerOptions FollowerOptionsOf(const config::Config& config) {
  return {.longest_transaction = MysqlOptionsOf(config).longest_transaction};
}

catalog::CatalogOptions CatalogOptionsOf(const config::Config& config, telemetry::Logger& log) {
  return {.activity_interval_s = Seconds(config.catalog.activity_interval), .logger = &log};
}

}  // namespace mi::app
