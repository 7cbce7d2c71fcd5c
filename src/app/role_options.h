// The configuration, cut into the options of each room.
#pragma once

#include <optional>
#include <vector>

#include "catalog/catalog.h"
#include "catalog/follower.h"
#include "config/config.h"
#include "dedupe/redis/options.h"
#include "dedupe/seen_set.h"
#include "forward/options.h"
#include "net/server.h"
#include "receive/options.h"
#include "store/mysql/options.h"
#include "stream/kafka/options.h"
#include "telemetry/log.h"

namespace mi::app {

telemetry::LogOptions LogOptionsOf(const config::Config& config);
net::ServerOptions ServerOptionsOf(const config::Config& config);
net::ServerLimits ServerLimitsOf(const config::Config& config);
receive::ReceiveOptions ReceiveOptionsOf(const config::Config& config);
dedupe::SeenOptions SeenOptionsOf(const config::Config& config);
// With Redis behind the table: what is older than metric_store.cache.default_expire is asked for again there.
dedupe::SeenOptions FleetSeenOptionsOf(const config::Config& config);
dedupe::RedisOptions RedisOptionsOf(const config::Config& config);
dedupe::RedisWriteOptions RedisWriteOptionsOf(const config::Config& config);
stream::KafkaPublisherOptions KafkaPublisherOptionsOf(const config::Config& config);
stream::KafkaConsumerOptions KafkaConsumerOptionsOf(const config::Config& config);
store::MysqlOptions MysqlOptionsOf(const config::Config& config);
// Those of remote.write that are enabled.
std::vector<forward::TargetOptions> RemoteWriteTargetsOf(const config::Config& config);
std::optional<forward::TargetOptions> RemoteSendTargetOf(const config::Config& config);
catalog::FollowerOptions FollowerOptionsOf(const config::Config& config);
catalog::CatalogOptions CatalogOptionsOf(const config::Config& config, telemetry::Logger& log);

}  // namespace mi::app
