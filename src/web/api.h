// The query API over the catalogue: Prometheus' endpoints for series, labels and metadata (docs/formats/query-api.md),
// under /api/v1, /prometheus/api/v1 and /select/<tenant>/prometheus/api/v1.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "catalog/catalog.h"
#include "net/http.h"
#include "telemetry/metrics.h"

namespace mi::web {

// Whether the catalogue can be asked. '' stands for nothing of that kind.
struct CatalogState {
  std::string waits_for;  // it is not loaded yet: 503, with this as the reason ("12 of 40 million series")
  std::string warning;    // it answers, from its last state: every answer carries this ("the store is away: …")
};

struct ApiOptions {
  unsigned threads = 2;
  size_t queue_capacity = 256;  // queries that wait; one more is answered 503
  uint64_t max_form_bytes = 1 << 20;
  // For one query to be answered, or to begin its stream; past it: 503. Far above what any honest question takes.
  std::chrono::milliseconds timeout = std::chrono::seconds(30);
  std::string version;  // of the product
};

// All of it outlives the Api. The functions are called from any thread and must not block.
struct ApiDependencies {
  std::function<std::shared_ptr<const catalog::Snapshot>()> snapshot;
  std::function<CatalogState()> state;
  telemetry::Metrics& metrics;
  const Clock& clock;
};

// Queries run on threads of its own, each on one snapshot from its first to its last byte; a handler only copies the
// request and queues it.
//
// Threads: the handlers are safe. Destroy it after the server, or after Drain(): what waits is answered first, and what
// takes long is given up.
class Api {
 public:
  Api(ApiOptions options, ApiDependencies dependencies);
  ~Api();

  // The router must not outlive this.
  void RegisterRoutes(net::Router& router);

 private:
  class State;
  class Endpoint;
  class BuildInfoEndpoint;
  struct Route {
    std::string path;
    std::unique_ptr<net::Handler> handler;
  };
  std::unique_ptr<State> state_;
  std::vector<Route> routes_;
};

}  // namespace mi::web
