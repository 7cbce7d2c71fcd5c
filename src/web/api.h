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
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/fair_queue.h"
#include "base/memory_budget.h"
#include "catalog/catalog.h"
#include "codec/stream_compression.h"
#include "net/http.h"
#include "telemetry/metrics.h"
#include "web/cors.h"
#include "web/endpoints.h"

namespace mi::web {

// Whether the catalogue can be queried.
struct CatalogState {
  std::string waits_for;  // not '': it is not loaded yet; 503 with this reason ("12 of 40 million series")
  std::string warning;    // not '': it answers from its last state; every answer carries this ("the store is away: …")
};

struct ApiOptions {
  unsigned threads = 3;         // at most all but one compute for the same client
  size_t queue_capacity = 512;  // queries that wait; one more is answered 503
  size_t queue_share = 256;     // … of one client
  uint64_t max_form_bytes = 1 << 20;
  // From the arrival of a query until its answer, or the first chunk of a long one, is ready; after it: 503. Far above
  // what any sensible query takes. The parameter `timeout` shortens it.
  std::chrono::milliseconds timeout = std::chrono::seconds(30);
  std::string version;  // of the product
  Cors cors;
};

// All of it outlives the Api. The functions are called from any thread and must not block.
struct ApiDependencies {
  std::function<std::shared_ptr<const catalog::Snapshot>()> snapshot;
  std::function<CatalogState()> state;
  MemoryBudget& memory;  // for queries that wait, while they are computed, and while a long answer is sent
  telemetry::Metrics& metrics;
  const Clock& clock;
};

// Queries run on threads of its own, so that they do not delay the writes that share the process. A handler only copies
// the request and queues it. Each query uses one snapshot from its first to its last byte. A query is given up when its
// deadline passes, when its client closes the connection, when the service stops, or when memory runs out.
//
//   server's thread: Head() -> Handle() -> queue_ -> query thread: Compute() -> reply -> server's thread
//
// Threads: the handlers are safe. Ownership: the router must not outlive it. Destroy it after the server has drained,
// and before its memory budget.
class Api {
 public:
  Api(ApiOptions options, ApiDependencies dependencies);
  ~Api();  // stops
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  void RegisterRoutes(net::Router& router);

  // Answers 503 to the queries that wait, to those that run as soon as they notice, and to all later ones. Call it
  // before the server drains. Idempotent. Any thread.
  void Stop();

 private:
  class EndpointHandler;
  class Streams;
  // A request in the queue.
  struct PendingQuery {
    EndpointHandler* handler;
    Question question;
    std::string form;
    std::string url_query;
    Sender sender;
    codec::ContentCoding coding;
    std::chrono::steady_clock::time_point arrived;
    std::shared_ptr<const std::atomic<bool>> abandoned;  // shared with the connection
    MemoryHold memory;
    net::Reply reply;
  };
  void AddPage(std::string_view path, std::function<net::Response()> make);
  void Add(std::string_view path, std::unique_ptr<net::Handler> handler);

  const ApiOptions options_;
  const ApiDependencies dependencies_;
  std::atomic<bool> stopping_ = false;
  // Shared with the long answers that are being sent, because the server may drop them after this object has gone.
  const std::shared_ptr<Streams> streams_;
  FairQueue<PendingQuery> queue_;
  std::vector<std::pair<std::string, std::unique_ptr<net::Handler>>> handlers_;  // by path
  std::vector<std::thread> threads_;
};

}  // namespace mi::web
