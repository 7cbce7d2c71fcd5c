// The HTTP/1.1 listener: N threads, one io_context and one acceptor each (SO_REUSEPORT); connections never change
// threads.
//
// Bodies of a declared length are read straight into buffers that a thread reuses; chunked ones take a slower path.
// Answers keep the order of pipelined requests. `Expect: 100-continue` is answered once a handler's Head() accepts the
// request.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/http.h"
#include "telemetry/log.h"

namespace mi::net {

struct ServerOptions {
  std::string listen = ":7001";  // host:port, [v6]:port or :port (all addresses); port 0 takes a free one
  unsigned threads = 1;
  uint64_t max_connections = 20'000;                      // one more is answered 503 and closed
  uint64_t max_header_bytes = 64 << 10;                   // 431
  uint64_t max_buffered_bytes = uint64_t{1} << 30;        // of requests in memory over all connections; past it: 503
  uint64_t max_discarded_bytes = 64 << 20;                // of a refused body, so that its sender reads the answer
  unsigned chunk_threads = 2;                             // make the chunks of streamed answers (Response::next_chunk)
  std::chrono::milliseconds idle_timeout{5 * 60 * 1000};  // between requests
  std::chrono::milliseconds read_timeout{30 * 1000};      // for one request to arrive, from its first byte on
  std::chrono::milliseconds write_timeout{60 * 1000};     // for the peer to take 64 KiB of an answer, or the rest
};

// Limits that can change while the server runs.
struct ServerLimits {
  uint64_t max_connections;
  std::chrono::milliseconds idle_timeout;
};

// Threads: the members are safe to call from any one thread at a time.
class Server {
 public:
  struct Stats {
    uint64_t open_connections;
    uint64_t in_flight;  // requests that wait for their answer
    uint64_t buffered_bytes;
    uint64_t rejected_connections;
  };

  // Binds and listens at once, so that a port in use is an error here: kUnavailable, naming address and knob.
  // Answers nothing before Start(). The router outlives the server.
  static Result<std::unique_ptr<Server>> Create(ServerOptions options, const Router& router, telemetry::Logger& log);

  virtual ~Server() = default;  // stops

  virtual void Start() = 0;
  // No new connections, requests in flight are answered (with Connection: close), idle connections are closed; what is
  // left at the deadline is cut. Returns once no connection is open.
  virtual void Drain(std::chrono::milliseconds deadline) = 0;
  virtual void SetLimits(ServerLimits limits) = 0;
  virtual uint16_t port() const = 0;
  virtual Stats stats() const = 0;
};

}  // namespace mi::net
