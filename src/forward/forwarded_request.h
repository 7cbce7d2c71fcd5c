// A copy of a request on its way to TSDBs: the body as it came, and the headers that go with it.
#pragma once

#include <string>
#include <string_view>

#include "net/client.h"
#include "net/http.h"

namespace mi::forward {

// Shared by the queues of all targets; never changed.
struct ForwardedRequest {
  std::string body;
  net::Headers headers;
  net::Headers credentials;  // Authorization and Cookie, for targets with forward_credentials
  size_t header_bytes = 0;
  bool has_content_type = false;
  size_t sender = 0;  // requests with the same number come from one sender and keep their order

  // What a queue accounts for.
  size_t bytes() const { return body.size() + header_bytes + kOverhead; }
  static constexpr size_t kOverhead = 1024;  // an estimate of the allocations beside the text
};

// Copies the sender's headers, except those about its connection to us (RFC 9110, 7.6.1) and about our answer. The
// `Connection` header cannot remove those that say what the body is and whose it is. `tenant`: of the request, from its
// path or its header; it is stated in X-Scope-OrgID unless it is the default tenant ('').
ForwardedRequest CopyForForwarding(const net::Request& request, std::string_view tenant);

}  // namespace mi::forward
