#include "app/role_options.h"

#include <algorithm>

#include "app/identity.h"

namespace mi::app {

telemetry::LogOptions LogOptionsOf(const config::Config& config) {
  telemetry::LogOptions options = config.log;
  options.app = config.app.name;
  if (config.app.mode == "dev") {
    options.level = "debug";
    options.also_stderr = true;
  }
  return options;
}

dedupe::SeenOptions StandaloneSeenOptionsOf(const config::Config& config) {
  dedupe::SeenOptions options = config.seen;
  options.confirm_after_s = 0;
  return options;
}

stream::KafkaPublisherOptions KafkaPublisherOptionsOf(const config::Config& config) {
  stream::KafkaPublisherOptions options = config.publisher;
  options.kafka.librdkafka = config.librdkafka;
  options.kafka.identity_secret = config.identity_secret;
  options.activity_interval = std::chrono::seconds(config.seen.activity_interval_s);
  options.stop_timeout = std::max(config.app.shutdown_timeout / 4, std::chrono::milliseconds(500));
  return options;
}

stream::KafkaConsumerOptions KafkaConsumerOptionsOf(const config::Config& config) {
  stream::KafkaConsumerOptions options = config.consumer;
  options.kafka.librdkafka = config.librdkafka;
  options.kafka.identity_secret = config.identity_secret;
  return options;
}

store::MysqlOptions MysqlOptionsOf(const config::Config& config) {
  store::MysqlOptions options = config.mysql;
  options.secrets = IdentitySecretsOf(config);
  return options;
}

std::vector<forward::TargetOptions> RemoteWriteTargetsOf(const config::Config& config) {
  std::vector<forward::TargetOptions> targets = config.remote_write;
  std::erase_if(targets, [](const forward::TargetOptions& target) { return !target.enabled; });
  return targets;
}

std::vector<forward::TargetOptions> RemoteSendTargetsOf(const config::Config& config) {
  if (config.remote_send.url.empty()) return {};
  return {config.remote_send};
}

}  // namespace mi::app
