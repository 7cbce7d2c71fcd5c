// The whole flow in one process: embedded journal, SQLite, catalogue, queries. Needs nothing but a folder.
#pragma once

#include <memory>

#include "app/service.h"

namespace mi::app {

Result<std::unique_ptr<Service>> StartStandalone(const config::Config& config, const Service::Deps& deps);

}  // namespace mi::app
