// What only a room can say of its options, asked before any work begins: a bad configuration, not a start that failed.
#pragma once

#include "base/result.h"
#include "config/loader.h"

namespace mi::app {

// kInvalid, a line for each fault with where it stands: options and values that librdkafka does not know, where the
// role speaks to Kafka, and urls that the HTTP client does not take.
Status CheckOptions(const config::Loaded& loaded);

}  // namespace mi::app
