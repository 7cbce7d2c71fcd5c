// Handlers called without a server, for tests: a request that is a struct, and the answer as a client would read it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "net/http.h"

namespace mi::web {

class FakeRequest final : public net::Request {
 public:
  // "/path?query", decoded as the server does.
  explicit FakeRequest(std::string_view target, std::string method = "GET") : method_(std::move(method)) {
    const size_t mark = target.find('?');
    path_ = net::DecodePath(target.substr(0, mark));
    if (mark != std::string_view::npos) query_ = target.substr(mark + 1);
  }
  FakeRequest& With(std::string header, std::string value) {
    headers_[std::move(header)] = std::move(value);
    return *this;
  }
  FakeRequest& WithForm(std::string body) {
    body_ = std::move(body);
    return With("Content-Type", "application/x-www-form-urlencoded");
  }

  std::string_view method() const override { return method_; }
  std::string_view path() const override { return path_; }
  std::string_view query() const override { return query_; }
  std::optional<std::string_view> Header(std::string_view name) const override {
    const auto header = headers_.find(std::string(name));
    return header == headers_.end() ? std::nullopt : std::optional<std::string_view>(header->second);
  }
  std::optional<uint64_t> content_length() const override { return body_.size(); }
  std::string_view body() const override { return body_; }
  std::string_view peer() const override { return "127.0.0.1"; }
  void ForEachHeader(const std::function<void(std::string_view, std::string_view)>& visit) const override {
    for (const auto& [name, value] : headers_) visit(name, value);
  }

 private:
  std::string method_;
  std::string path_;
  std::string query_;
  std::string body_;
  std::map<std::string, std::string> headers_;
};

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
  net::HeadDecision head = handler->Head(request);
  if (head.answer) return Receive(*std::move(head.answer));
  if (request.body().size() > head.max_body_bytes) return Receive(head.too_large(request.body().size()));
  std::promise<net::Response> promise;
  std::future<net::Response> future = promise.get_future();
  handler->Handle(request, net::Reply([&promise](net::Response response) { promise.set_value(std::move(response)); }));
  return Receive(future.get());
}

}  // namespace mi::web
