// A small blocking HTTP/1.1 client over http or https: one connection, kept alive.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "net/wire.h"

namespace mi::net {

struct Url {
  std::string host;
  std::string port;    // "80" or "443" when the text has none
  std::string target;  // path and query, never empty
  bool tls = false;
  // kInvalid for anything but http[s]://host[:port][/…].
  static Result<Url> Parse(std::string_view text);
};

struct ClientResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string_view Header(std::string_view name) const;  // case-insensitive; '' when absent
};

struct ClientOptions {
  WireTarget to;
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(5);
  std::chrono::milliseconds timeout = std::chrono::seconds(30);  // of a request, connecting included
  uint64_t max_answer_bytes = 1 << 20;  // of a body; whoever is asked must not fill the memory of who asks
};

// Threads: confined to one thread, but for Cancel.
class Client {
 public:
  // Does not connect yet.
  static std::unique_ptr<Client> Create(ClientOptions options);
  // For tools and tests that read whole catalogues: takes answers of any length.
  static std::unique_ptr<Client> Create(std::string host, std::string port, std::chrono::milliseconds timeout);
  virtual ~Client() = default;

  // Sends a request and waits for its answer; connects (again) when needed. kUnavailable when that fails or takes too
  // long, or when the answer does.
  virtual Result<ClientResponse> Send(std::string_view method, std::string_view target,
                                      const std::vector<std::pair<std::string, std::string>>& headers,
                                      std::string_view body) = 0;

  // Ends a Send that waits, and all that follow, with kUnavailable. Threads: safe.
  virtual void Cancel() = 0;
};

}  // namespace mi::net
