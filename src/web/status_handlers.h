// How the process is: /, /health, /-/healthy, /ready, /-/ready, /metrics.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/http.h"
#include "telemetry/health.h"
#include "telemetry/metrics.h"

namespace mi::web {

// Threads: safe. Health and metrics outlive it; the router must not.
class StatusHandlers {
 public:
  StatusHandlers(const telemetry::Health& health, const telemetry::Metrics& metrics);
  ~StatusHandlers();

  void RegisterRoutes(net::Router& router);

 private:
  class Page;
  struct Route {
    std::string path;
    std::unique_ptr<Page> page;
  };
  std::vector<Route> routes_;
};

}  // namespace mi::web
