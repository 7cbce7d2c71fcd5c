// `metric-index replay`: fills the database from the topic, at full speed: what a lost database is rebuilt with.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "config/config.h"
#include "telemetry/log.h"

namespace mi::app {

// Reads metric_store.consumer.topics, records of `from_ms` and later (nothing: all), up to the end that they have now,
// with metric_store.consumer.work_num workers that share the partitions. Shows its progress on stderr. Positions are
// stored: the consumer group goes on from there. Run it while no consumer does; any number of times, it changes nothing
// twice. Errors: the first that repetition would not change, in one line.
Status Replay(const config::Config& config, std::optional<int64_t> from_ms, telemetry::Logger& log);

}  // namespace mi::app
