// The configuration, cut into the options of each room.
#pragma once

#include "catalog/catalog.h"
#include "config/config.h"
#include "dedupe/seen_set.h"
#include "net/server.h"
#include "receive/options.h"
#include "telemetry/log.h"

namespace mi::app {

telemetry::LogOptions LogOptionsOf(const config::Config& config);
net::ServerOptions ServerOptionsOf(const config::Config& config);
net::ServerLimits ServerLimitsOf(const config::Config& config);
receive::ReceiveOptions ReceiveOptionsOf(const config::Config& config);
dedupe::SeenOptions SeenOptionsOf(const config::Config& config);
catalog::CatalogOptions CatalogOptionsOf(const config::Config& config, telemetry::Logger& log);

}  // namespace mi::app
