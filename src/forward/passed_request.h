// A request on its way to TSDBs: the body as it came, and the headers that go with it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "net/http.h"

namespace mi::forward {

// Shared by the queues of all targets; never changed.
struct PassedRequest {
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  size_t header_bytes = 0;
  bool has_content_type = false;
  size_t sender = 0;  // requests of one sender have the same: they keep their order

  // What a queue accounts for.
  size_t bytes() const { return body.size() + header_bytes + kOverhead; }
  static constexpr size_t kOverhead = 1024;  // of what is allocated beside
};

// The sender's own headers, but for those that speak of its connection to us (RFC 9110, 7.6.1) and of the answer.
PassedRequest PassedRequestOf(const net::Request& request);

}  // namespace mi::forward
