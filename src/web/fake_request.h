// Handlers called without a server, for tests: a request that is a struct, and the answer as a client would read it.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "net/fake_request.h"

namespace mi::web {

using net::FakeRequest;

struct Received {
  int status = 0;
  std::string content_type;
  std::string body;
  std::map<std::string, std::string> headers;
  size_t chunks = 0;  // 0: it came in one body
  size_t largest_chunk = 0;
};

inline Received Receive(net::Response response) {
  Received received{.status = response.status,
                    .content_type = std::move(response.content_type),
                    .body = std::move(response.body),
                    .headers = {response.headers.begin(), response.headers.end()}};
  if (!response.next_chunk) return received;
  received.body.clear();
  for (std::string chunk;; chunk.clear()) {
    response.next_chunk(chunk);
    if (chunk.empty()) return received;
    ++received.chunks;
    received.largest_chunk = std::max(received.largest_chunk, chunk.size());
    received.body += chunk;
  }
}

// What the server does with a request, and what its sender gets.
inline Received Send(const net::Router& router, const FakeRequest& request) {
  net::Handler* handler = router.Find(request.path());
  if (handler == nullptr) return {.status = 404};
  return Receive(net::Ask(*handler, request).Take());
}

}  // namespace mi::web
