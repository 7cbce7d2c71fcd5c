// The options of the HTTP server. The defaults are the documented ones.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace mi::net {

struct ServerOptions {
  std::string listen;    // app.listen: host:port, [v6]:port or :port (all addresses); '' = all addresses, at `port`
  uint16_t port = 7001;  // app.port; 0 takes a free one
  uint64_t threads = 0;  // app.threads; 0 = one per core
  uint64_t max_connections = 20'000;                      // receive.max_connections; one more gets 503 and is closed
  std::chrono::milliseconds idle_timeout{5 * 60 * 1000};  // receive.idle_timeout: between requests
  std::chrono::milliseconds read_timeout{30 * 1000};      // for one request to arrive, from its first byte on
  std::chrono::milliseconds write_timeout{30 * 1000};     // for the peer to take 256 KiB of an answer, or the rest
  std::chrono::milliseconds slow_after{1000};             // of waiting for the peer: gives way when there is no room
  uint64_t max_header_bytes = 64 << 10;                   // larger headers get 431
  // receive.max_buffered_bytes: of requests, queries and answers in memory over all connections; more gets 503.
  // 0 = a quarter of the memory that the process may use, but at least 64 MiB and at most 1 GiB.
  uint64_t max_buffered_bytes = 0;
  uint64_t max_discarded_bytes = 64 << 20;  // read of a refused body, so that its sender reads the answer
  unsigned chunk_threads = 2;               // make the chunks of streamed answers (Response::next_chunk)

  std::string option = "app.listen, app.port";  // names the address in errors

  // host:port or :port.
  std::string Address() const { return listen.empty() ? ":" + std::to_string(port) : listen; }

  bool operator==(const ServerOptions&) const = default;
};

}  // namespace mi::net
