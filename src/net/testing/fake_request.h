// Handlers called without a server, for tests: a request made by hand, and the answer as a client would read it.
#pragma once

#include <algorithm>
#include <cctype>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/http.h"

namespace mi::net {

class FakeRequest final : public Request {
 public:
  // `target`: path and query; the path is decoded as the server does.
  FakeRequest(std::string method, std::string_view target, std::string body = {})
      : method_(std::move(method)), body_(std::move(body)) {
    const size_t mark = target.find('?');
    path_ = DecodePath(target.substr(0, mark));
    if (mark != std::string_view::npos) query_ = target.substr(mark + 1);
  }
  FakeRequest& With(std::string name, std::string value) {
    headers_.emplace_back(std::move(name), std::move(value));
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
    const auto same = [&](const auto& header) {
      return std::ranges::equal(header.first, name,
                                [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
    };
    const auto found = std::ranges::find_if(headers_, same);
    if (found == headers_.end()) return std::nullopt;
    return found->second;
  }
  std::optional<uint64_t> content_length() const override { return body_.size(); }
  std::string_view body() const override { return body_; }
  std::string_view peer() const override { return "127.0.0.1"; }
  void ForEachHeader(const std::function<void(std::string_view, std::string_view)>& visit) const override {
    for (const auto& [name, value] : headers_) visit(name, value);
  }

 private:
  std::string method_, path_, query_, body_;
  std::vector<std::pair<std::string, std::string>> headers_;
};

// What a handler answers, now or later.
class FakeAnswer {
 public:
  FakeAnswer() : future_(promise_->get_future()) {}

  Reply reply() {
    return Reply([promise = promise_](Response response) { promise->set_value(std::move(response)); });
  }
  bool arrived() const { return future_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
  // Waits for it. Once.
  Response Take() { return future_.get(); }

 private:
  std::shared_ptr<std::promise<Response>> promise_ = std::make_shared<std::promise<Response>>();
  std::future<Response> future_;
};

// Passes the request to the handler as the server does.
inline FakeAnswer Ask(Handler& handler, const Request& request) {
  FakeAnswer answer;
  HeadDecision head = handler.Head(request);
  if (head.answer) {
    answer.reply()(*std::move(head.answer));
  } else if (request.body().size() > head.max_body_bytes) {
    answer.reply()(head.too_large(request.body().size()));
  } else {
    head.handle(request, answer.reply());
  }
  return answer;
}

// An answer after all of its chunks have arrived.
struct Received {
  int status = 0;
  std::string content_type;
  std::string body;
  std::map<std::string, std::string> headers;
  size_t chunks = 0;  // 0: it came in one body
  size_t largest_chunk = 0;
};

inline Received Receive(Response response) {
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

// Passes the request to the handler that the router finds, and waits for the answer.
inline Received Send(const Router& router, const FakeRequest& request) {
  Handler* handler = router.Find(request.path());
  if (handler == nullptr) return {.status = 404};
  return Receive(Ask(*handler, request).Take());
}

// The value of a response's header; '' when it has none of that name.
inline std::string HeaderOf(const Response& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace mi::net
