// The HTTP/1.1 server. Each of its threads has an epoll loop and a listening socket (SO_REUSEPORT); a connection never
// changes its thread.
//
// Bodies of a declared length are read directly into buffers that a thread reuses; chunked bodies take a slower path.
// Answers keep the order of pipelined requests. `Expect: 100-continue` is answered once Handler::Head() has accepted
// the request. With TLS, a connection that is one too many is closed without an answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "net/gate.h"
#include "net/http.h"
#include "net/options.h"
#include "net/tls/context.h"
#include "telemetry/log.h"

namespace mi::net {

// Limits that can change while the server runs.
struct ServerLimits {
  uint64_t max_connections;
  std::chrono::milliseconds idle_timeout;
};

class Loop;
struct Listeners;
struct ServerState;

// Threads: the members are safe to call from any one thread at a time.
class Server {
 public:
  struct Stats {
    uint64_t open_connections;
    uint64_t in_flight;  // requests that wait for their answer
    uint64_t buffered_bytes;
    uint64_t rejected_connections;
    uint64_t given_up;  // requests, answers and connections that gave way to others
    uint64_t tls_handshakes;
    uint64_t tls_failures;  // handshakes that failed
  };

  // Binds and listens at once, so that a port in use is an error here: kUnavailable, naming address and option.
  // Answers nothing before Start(). The router and the gate outlive the server. `gate`: null lets every request in.
  static Result<std::unique_ptr<Server>> Create(ServerOptions options, const Router& router, telemetry::Logger& log,
                                                Gate* gate = nullptr);
  ~Server();  // stops; connections are cut
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void Start();
  // Takes no new connections, answers the requests in flight (with Connection: close), and closes idle connections.
  // Cuts what is left after `patience`. Returns once no connection is open.
  void Drain(std::chrono::milliseconds patience);
  void SetLimits(ServerLimits limits);
  // New connections speak TLS; null: they are plain. Those that are open stay as they are.
  void SetTls(std::shared_ptr<const TlsContext> context);
  // Adds these headers to every answer. Takes effect within about a second.
  void SetHeaders(const std::vector<std::pair<std::string, std::string>>& headers);
  uint16_t port() const { return port_; }
  // ServerOptions::max_buffered_bytes. Handlers charge to it what a request makes them hold.
  MemoryBudget& memory();
  Stats stats() const;
  // Whether each thread handles an event within `patience`. False: one hangs. For watchdogs. Requires: it is started.
  bool Responds(std::chrono::milliseconds patience) const;

 private:
  Server(ServerOptions options, const Router& router, telemetry::Logger& log, Gate* gate, Listeners listeners);

  const uint16_t port_;
  const std::unique_ptr<ServerState> state_;
  std::vector<std::unique_ptr<Loop>> loops_;
};

}  // namespace mi::net
