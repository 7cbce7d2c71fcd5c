// The roles of the fleet: producer, consumer, query, and all three in one process. Over Kafka, Redis and MySQL; nothing
// is kept on this machine.
#pragma once

#include <memory>

#include "app/service.h"
#include "base/result.h"

namespace mi::app {

// Comes up also while Kafka, Redis or the database are away: /ready says what is waited for. Errors: one line that says
// what to do.
Result<std::unique_ptr<Service>> StartFleet(const config::Config& config, const Service::Deps& deps);

}  // namespace mi::app
