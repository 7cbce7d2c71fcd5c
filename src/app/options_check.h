// Checks of options that only the room or library behind them can make. Made before any work begins, so that a fault is
// a bad configuration (exit code 2), not a start that failed.
#pragma once

#include "base/result.h"
#include "config/loader.h"

namespace mi::app {

// Checks the options of librdkafka, if the role uses Kafka, the URLs, and regular expressions.
// Errors: kInvalid, with one line per fault that says where the option was set.
Status CheckOptions(const config::Loaded& loaded);

}  // namespace mi::app
