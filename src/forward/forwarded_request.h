// A copy of a request on its way to TSDBs: the body as it came, and the headers that go with it.
#pragma once

#include <string>

#include "net/client.h"
#include "net/http.h"

namespace mi::forward {

// Shared by the queues of all targets; never changed.
struct ForwardedRequest {
  std::string body;
  net::Headers headers;
  size_t header_bytes = 0;
  bool has_content_type = false;
  size_t sender = 0;  // requests with the same number come from one sender and keep their order

  // What a queue accounts for.
  size_t bytes() const { return body.size() + header_bytes + kOverhead; }
  static constexpr size_t kOverhead = 1024;  // an estimate of the allocations beside the text
};

// Copies the sender's headers, except those about its connection to us (RFC 9110, 7.6.1) and about our answer.
ForwardedRequest CopyForForwarding(const net::Request& request);

}  // namespace mi::forward
