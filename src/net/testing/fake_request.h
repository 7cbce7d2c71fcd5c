// Handlers called without a server, for tests: a request made by hand, and the answer as a client would read it.
#pragma once

#include <algorithm>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "net/http.h"

namespace mi::net {

class FakeRequest final : public Request {
 public:
  // `target`: path and query, decoded as the server does.
  FakeRequest(std::string_view method, std::string_view target, std::string body = {}) {
    SetLine(method, target);
    SetPeer("127.0.0.1");
    TakeBody(std::move(body));
  }
  FakeRequest& With(std::string_view name, std::string_view value) {
    AddHeader(name, value);
    return *this;
  }
  FakeRequest& WithForm(std::string body) {
    TakeBody(std::move(body));
    return With("Content-Type", "application/x-www-form-urlencoded");
  }

 private:
  void TakeBody(std::string body) {
    owned_ = std::make_shared<const std::string>(std::move(body));
    SetBody(*owned_);
    SetFraming({.content_length = owned_->size()});
  }

  std::shared_ptr<const std::string> owned_;  // shared, so that the views of a copy stay valid
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
  const Router::Endpoint* const endpoint = router.Find(request.path());
  if (endpoint == nullptr) return {.status = 404};
  return Receive(Ask(*endpoint->handler, request).Take());
}

// The value of a response's header; '' when it has none of that name.
inline std::string HeaderOf(const Response& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace mi::net
