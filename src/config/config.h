// Every option of the service. Each room's Options struct holds its options and their defaults; this file holds only
// the options of the process itself.
//
// The rows (rows.h) give each option its path, range and prose. A Config is copied and compared as a value. A Config
// that other threads can read is never changed.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "dedupe/options.h"
#include "dedupe/redis/options.h"
#include "forward/options.h"
#include "net/options.h"
#include "receive/options.h"
#include "store/mysql/options.h"
#include "stream/journal/options.h"
#include "stream/kafka/options.h"
#include "telemetry/options.h"

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
  std::string data_dir = "data";
  milliseconds shutdown_timeout = std::chrono::seconds(8);
  uint64_t work_num = 8;  // index workers of a consumer

  bool operator==(const AppOptions&) const = default;
};

struct WebOptions {
  std::string config_file;  // TLS and logins (web_file.h); '' = neither
  std::string cors_origin;  // a regular expression; '' = no page of another origin may read answers

  bool operator==(const WebOptions&) const = default;
};

struct PprofOptions {
  bool enabled = true;
  std::string listen;  // '' = the main listener serves the profiles

  bool operator==(const PprofOptions&) const = default;
};

// Some options concern several rooms: librdkafka, identity_secret, seen.activity_interval_s and journal.synchronous.
// They are set here once; app copies them (app/role_options.h).
struct Config {
  AppOptions app;
  telemetry::LogOptions log;
  net::ServerOptions server;  // app.listen, app.port, app.threads and some of receive
  receive::ReceiveOptions receive;
  dedupe::SeenOptions seen = {.confirm_after_s = 1800};  // metric_store.cache, catalog.activity_interval
  dedupe::RedisWriteOptions redis_writes;                // metric_store.cache
  dedupe::RedisOptions redis;
  stream::KafkaPublisherOptions publisher;        // metric_store.producer
  stream::KafkaConsumerOptions consumer;          // metric_store.consumer
  std::map<std::string, std::string> librdkafka;  // options under librdkafka's own names
  store::MysqlOptions mysql;
  stream::JournalOptions journal;  // also sqlite.synchronous
  std::string identity_secret;
  std::vector<forward::TargetOptions> remote_write = std::vector<forward::TargetOptions>(1);
  forward::TargetOptions remote_send = {.content_type = "application/json"};
  WebOptions web;
  PprofOptions pprof;

  bool operator==(const Config&) const = default;
};

}  // namespace mi::config
