// Every option of the service as plain values; the defaults stand here and nowhere else.
//
// Rows (rows.h) give each its name, range and prose. Members carry the names of their keys:
// config.receive.max_body_bytes is receive.max_body_bytes. A Config is copied and compared as a value; one that others
// may read is never changed.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mi::config {

using std::chrono::milliseconds;

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;

enum class Role : uint8_t { kStandalone, kProducer, kConsumer, kQuery, kAll };
std::string_view ToString(Role role);

struct AppOptions {
  std::string name = "metric-index";
  std::string mode = "prod";  // prod, dev
  Role role_type = Role::kStandalone;
  uint64_t port = 7001;
  std::string listen;    // '' = every address, at `port`
  uint64_t threads = 0;  // 0 = as many as cores
  std::string data_dir = "data";
  milliseconds shutdown_timeout = std::chrono::seconds(8);

  // The address to listen on, "host:port"; `listen` wins over `port`.
  std::string ListenAddress() const;

  bool operator==(const AppOptions&) const = default;
};

struct LogOptions {
  std::string level = "info";   // debug, info, warn, error
  std::string filename;         // '' = stderr
  std::string format = "text";  // text, json
  uint64_t max_size = 200;      // MiB
  uint64_t max_age = 30;        // days
  uint64_t max_backups = 7;

  bool operator==(const LogOptions&) const = default;
};

struct ReceiveOptions {
  uint64_t max_body_bytes = 32 * kMiB;
  uint64_t max_decoded_bytes = 64 * kMiB;
  uint64_t max_series_bytes = 64 * kKiB;
  uint64_t max_labels = 128;
  uint64_t max_name_bytes = 256;
  uint64_t max_value_bytes = 4 * kKiB;
  bool require_metric_name = true;
  milliseconds answer_timeout = std::chrono::seconds(20);
  uint64_t max_connections = 20'000;
  milliseconds idle_timeout = std::chrono::minutes(5);

  bool operator==(const ReceiveOptions&) const = default;
};

struct CacheOptions {
  milliseconds default_expire = std::chrono::seconds(1800);
  milliseconds cleanup_interval = std::chrono::seconds(60);
  milliseconds expire = std::chrono::seconds(604'800);
  milliseconds dist_interval = std::chrono::seconds(345'600);
  bool isexpire = true;
  uint64_t worker_num = 10;
  uint64_t flush_lens = 1000;
  milliseconds flush_interval = std::chrono::seconds(3);
  milliseconds idle_expire = std::chrono::seconds(86'400);
  uint64_t max_series = 0;  // 0 = as many as memory holds

  bool operator==(const CacheOptions&) const = default;
};

struct ProducerOptions {
  std::vector<std::string> hosts;  // host:port
  std::string topic = "metric-index";

  bool operator==(const ProducerOptions&) const = default;
};

struct ConsumerOptions {
  std::vector<std::string> hosts;  // host:port
  std::vector<std::string> topics = {"metric-index"};
  std::string group_id = "metric-index-worker-v1";
  uint64_t work_num = 8;
  std::string offset_type = "oldest";  // oldest, newest

  bool operator==(const ConsumerOptions&) const = default;
};

struct MetricStoreOptions {
  CacheOptions cache;
  ProducerOptions producer;
  ConsumerOptions consumer;

  bool operator==(const MetricStoreOptions&) const = default;
};

struct RedisOptions {
  std::string host = "127.0.0.1";
  uint64_t port = 6379;
  std::string username;
  std::string password;
  uint64_t db = 0;
  uint64_t pool_size = 16;
  milliseconds timeout = std::chrono::seconds(1);

  bool operator==(const RedisOptions&) const = default;
};

struct MysqlTlsOptions {
  std::string mode = "off";  // off, required, verify
  std::string ca;            // files
  std::string cert;
  std::string key;

  bool operator==(const MysqlTlsOptions&) const = default;
};

struct MysqlOptions {
  std::string host = "127.0.0.1";
  uint64_t port = 3306;
  std::string socket;  // wins over host and port
  std::string user = "metric-index";
  std::string password;
  std::string db_name = "metric-index";
  uint64_t max_open_conns = 16;
  uint64_t max_idle_conns = 8;
  MysqlTlsOptions tls;

  bool operator==(const MysqlOptions&) const = default;
};

struct SqliteOptions {
  std::string synchronous = "full";  // full, normal

  bool operator==(const SqliteOptions&) const = default;
};

struct JournalOptions {
  uint64_t max_bytes = 4 * kGiB;

  bool operator==(const JournalOptions&) const = default;
};

struct CatalogOptions {
  milliseconds activity_interval = std::chrono::seconds(3600);

  bool operator==(const CatalogOptions&) const = default;
};

struct IdentityOptions {
  std::string secret;

  bool operator==(const IdentityOptions&) const = default;
};

struct RemoteWriteOptions {
  bool enabled = false;
  std::string url;
  std::string content_type = "application/x-protobuf";
  uint64_t queue_bytes = 64 * kMiB;
  std::string when_full = "drop_oldest";  // drop_oldest, block
  milliseconds connect_timeout = std::chrono::seconds(5);
  milliseconds timeout = std::chrono::seconds(30);

  bool operator==(const RemoteWriteOptions&) const = default;
};

struct RemoteSendOptions {
  std::string url;  // '' = nothing is sent on
  std::string content_type = "application/json";

  bool operator==(const RemoteSendOptions&) const = default;
};

struct RemoteOptions {
  std::vector<RemoteWriteOptions> write = std::vector<RemoteWriteOptions>(1);
  RemoteSendOptions send;

  bool operator==(const RemoteOptions&) const = default;
};

struct PprofOptions {
  bool enabled = true;
  std::string listen;  // '' = the main listener serves the profiles

  bool operator==(const PprofOptions&) const = default;
};

struct Config {
  AppOptions app;
  LogOptions log;
  ReceiveOptions receive;
  MetricStoreOptions metric_store;
  std::map<std::string, std::string> librdkafka;  // its own option names
  RedisOptions redis;
  MysqlOptions mysql;
  SqliteOptions sqlite;
  JournalOptions journal;
  CatalogOptions catalog;
  IdentityOptions identity;
  RemoteOptions remote;
  PprofOptions pprof;

  bool operator==(const Config&) const = default;
};

}  // namespace mi::config
