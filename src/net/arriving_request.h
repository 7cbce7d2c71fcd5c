// A request of which the first byte has come and the last has not.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/body_buffer.h"
#include "net/http.h"
#include "net/request_parser.h"

namespace mi::net {

// Threads: confined to one. Belongs to a connection only while a request is coming in: an idle connection has none.
struct ArrivingRequest {
  ArrivingRequest(BlockPool& pool, MemoryBudget& budget) : body(pool, budget) {}

  const RequestHead& head() const { return parser->head(); }
  // Memory that it keeps from one request to the next.
  size_t held_bytes() const { return head().held_bytes() + piece.capacity(); }

  std::unique_ptr<RequestParser> parser = RequestParser::Create();
  BodyBuffer body;
  HeadDecision decision;
  uint64_t body_bytes = 0;    // declared length; what came so far of a chunked body
  uint64_t skipped = 0;       // bytes of the body thrown away
  bool continue_due = false;  // the sender waits for 100 Continue before it sends the body
  bool last = false;          // the connection ends behind it
  std::string piece;          // of a chunked body
  std::chrono::steady_clock::time_point since;
};

// What a handler gets to see of it.
class RequestView final : public Request {
 public:
  RequestView(const RequestHead& head, std::string_view body, std::string_view peer)
      : head_(head), body_(body), peer_(peer) {}

  std::string_view method() const override { return head_.method(); }
  std::string_view path() const override { return head_.path(); }
  std::string_view query() const override { return head_.query(); }
  std::optional<std::string_view> Header(std::string_view name) const override { return head_.Header(name); }
  std::optional<uint64_t> content_length() const override { return head_.content_length(); }
  std::string_view body() const override { return body_; }
  std::string_view peer() const override { return peer_; }
  void ForEachHeader(const std::function<void(std::string_view, std::string_view)>& visit) const override {
    head_.ForEachHeader(visit);
  }

 private:
  const RequestHead& head_;
  std::string_view body_;
  std::string_view peer_;
};

}  // namespace mi::net
