// How the process is: /, /health, /-/healthy, /ready, /-/ready, /metrics.
#pragma once

#include <string_view>
#include <vector>

#include "net/http.h"
#include "telemetry/health.h"
#include "telemetry/metrics.h"
#include "web/page.h"

namespace mi::web {

// Threads: safe. Ownership: borrows health and metrics; outlives the router.
class StatusHandlers {
 public:
  StatusHandlers(const telemetry::Health& health, const telemetry::Metrics& metrics);

  void RegisterRoutes(net::Router& router);

 private:
  struct Entry {
    std::string_view path;
    net::Role role;
    Page page;
  };
  std::vector<Entry> pages_;
};

}  // namespace mi::web
