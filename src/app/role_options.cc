#include "app/role_options.h"

#include <algorithm>
#include <thread>

namespace mi::app {
namespace {

uint64_t Seconds(std::chrono::milliseconds duration) { return static_cast<uint64_t>(duration.count()) / 1000; }

}  // namespace

telemetry::LogOptions LogOptionsOf(const config::Config& config) {
  const bool dev = config.app.mode == "dev";
  return {.level = dev ? "debug" : config.log.level,
          .filename = config.log.filename,
          .format = config.log.format,
          .max_size_mb = config.log.max_size,
          .max_age_days = config.log.max_age,
          .max_backups = config.log.max_backups,
          .also_console = dev};
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

catalog::CatalogOptions CatalogOptionsOf(const config::Config& config, telemetry::Logger& log) {
  return {.activity_interval_s = Seconds(config.catalog.activity_interval), .logger = &log};
}

}  // namespace mi::app
