// The query API over the catalogue: Prometheus' endpoints for series, labels and metadata (docs/formats/query-api.md),
// under /api/v1, /prometheus/api/v1 and /select/<tenant>/prometheus/api/v1.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/bounded_queue.h"
#include "base/clock.h"
#include "catalog/catalog.h"
#include "net/http.h"
#include "telemetry/metrics.h"
#include "web/endpoints.h"

namespace mi::web {

// Whether the catalogue can be queried.
struct CatalogState {
  std::string waits_for;  // not '': it is not loaded yet; 503 with this reason ("12 of 40 million series")
  std::string warning;    // not '': it answers from its last state; every answer carries this ("the store is away: …")
};

struct ApiOptions {
  unsigned threads = 2;
  size_t queue_capacity = 256;  // queries that wait; one more is answered 503
  uint64_t max_form_bytes = 1 << 20;
  // For one query to be answered, or to begin its stream; after it: 503. Far above what any sensible query takes.
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

// Queries run on threads of its own, so that they do not delay the writes that share the process. A handler only copies
// the request and queues it. Each query uses one snapshot from its first to its last byte.
//
//   server's thread: Head() -> Handle() -> queue_ -> query thread: Compute() -> reply -> server's thread
//
// Threads: the handlers are safe. Ownership: the router must not outlive it. Destroy it after the server, or after the
// server has drained: the destructor answers the queries that wait and gives up those that take long.
class Api {
 public:
  Api(ApiOptions options, ApiDependencies dependencies);
  ~Api();
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  void RegisterRoutes(net::Router& router);

 private:
  class EndpointHandler;
  // A request in the queue.
  struct PendingQuery {
    EndpointHandler* handler;
    Question question;
    std::string form;
    std::string url_query;
    net::Reply reply;
  };
  std::shared_ptr<void> TryBeginStream();

  const ApiOptions options_;
  const ApiDependencies dependencies_;
  std::atomic<bool> stopping_ = false;
  // Long answers that are being sent. Shared with them, because the server may drop them after this object has gone.
  const std::shared_ptr<std::atomic<int>> streams_ = std::make_shared<std::atomic<int>>(0);
  BoundedQueue<PendingQuery> queue_;
  std::vector<std::pair<std::string, std::unique_ptr<net::Handler>>> handlers_;  // by path
  std::vector<std::thread> threads_;
};

}  // namespace mi::web
