// The options of a room that depend on more than its own section of the configuration.
#pragma once

#include <vector>

#include "config/config.h"

namespace mi::app {

// With the name of the process; app.mode dev logs at debug, and to stderr too.
telemetry::LogOptions LogOptionsOf(const config::Config& config);
// Without a shared tier: entries are never asked again.
dedupe::SeenOptions StandaloneSeenOptionsOf(const config::Config& config);
// With the options of librdkafka and identity.secret.
stream::KafkaPublisherOptions KafkaPublisherOptionsOf(const config::Config& config);
stream::KafkaConsumerOptions KafkaConsumerOptionsOf(const config::Config& config);
// With identity.secret, or a new secret for a new catalogue.
store::MysqlOptions MysqlOptionsOf(const config::Config& config);
// Those of remote.write that are enabled; that of remote.send, if it has a URL.
std::vector<forward::TargetOptions> RemoteWriteTargetsOf(const config::Config& config);
std::vector<forward::TargetOptions> RemoteSendTargetsOf(const config::Config& config);

}  // namespace mi::app
