#include <algorithm>
#include <cassert>
#include <exception>

#include "net/connection.h"

namespace mi::net {
namespace {

constexpr size_t kFirstBodyBytes = 256 << 10;  // what an announced body gets before any of it has come

Response PlainError(int status, std::string text) {
  text.push_back('\n');
  return {.status = status, .body = std::move(text)};
}

}  // namespace

void Connection::OnHead() {
  ArrivingRequest& arriving = *arriving_;
  const RequestHead& head = arriving.head();
  if (!head.http10() && !head.Header("Host")) return Abort(400, "HTTP/1.1 without a Host header");
  arriving.last = !head.keep_alive();
  arriving.body_bytes = head.content_length().value_or(0);

  const std::optional<std::string_view> expect = head.http10() ? std::nullopt : head.Header("Expect");
  const bool has_body = head.chunked() || arriving.body_bytes > 0;
  arriving.continue_due = has_body && expect && EqualsIgnoringCase(*expect, "100-continue");
  if (expect && !EqualsIgnoringCase(*expect, "100-continue")) {
    return Refuse(PlainError(417, "the only expectation known is 100-continue"));
  }

  Handler* const handler = state_.router.Find(head.path());
  if (handler == nullptr) return Refuse(PlainError(404, "not found"));
  try {
    arriving.decision = handler->Head(RequestView(head, {}, peer_));
  } catch (const std::exception& fault) {
    state_.log.Error("{} {}: {}", head.method(), head.path(), fault.what());
    return Refuse(PlainError(500, "internal error"));
  }
  if (arriving.decision.answer) return Refuse(*std::move(arriving.decision.answer));
  assert(arriving.decision.handle);
  if (arriving.body_bytes > arriving.decision.max_body_bytes) return RefuseTooLarge();
  ExpectBody();
}

void Connection::ExpectBody() {
  if (arriving_->head().chunked()) {
    phase_ = Phase::kChunked;
  } else if (arriving_->body_bytes == 0) {
    Dispatch();
  } else if (GrowBody(kFirstBodyBytes)) {
    phase_ = Phase::kBody;
  }
}

// False when there is no memory for it: the request is refused then.
bool Connection::GrowBody(size_t wanted) {
  const bool chunked = arriving_->head().chunked();
  if (!chunked) wanted = std::min<uint64_t>(wanted, arriving_->body_bytes);
  if (arriving_->body.Reserve(wanted)) return true;
  Refuse(NoMemory());
  return false;
}

Response Connection::NoMemory() const {
  Response busy = PlainError(503, format("{} of requests are in memory, limit {}; try again",
                                         FormatBytes(state_.budget.used()), FormatBytes(state_.budget.limit())));
  busy.headers.emplace_back("Retry-After", "1");
  return busy;
}

void Connection::RefuseTooLarge() {
  const HeadDecision& decision = arriving_->decision;
  if (decision.too_large) {
    try {
      return Refuse(decision.too_large(arriving_->body_bytes));
    } catch (const std::exception& fault) {
      state_.log.Error("{} {}: {}", arriving_->head().method(), arriving_->head().path(), fault.what());
      return Refuse(PlainError(500, "internal error"));
    }
  }
  Refuse(PlainError(
      413, format("body is {}, limit {}", FormatBytes(arriving_->body_bytes), FormatBytes(decision.max_body_bytes))));
}

void Connection::Refuse(Response response) {
  ArrivingRequest& arriving = *arriving_;
  const bool chunked = arriving.head().chunked();
  const bool from_start = phase_ == Phase::kHead;
  arriving.skipped = chunked ? arriving.body_bytes : arriving.body.size();
  arriving.body.Clear();
  const uint64_t left = chunked ? 0 : arriving.body_bytes - arriving.skipped;
  // Whether a sender that waits for 100 Continue will send its body all the same, nobody knows.
  const bool uncertain = arriving.continue_due && from_start && input().empty();
  arriving.last |= uncertain || left > state_.options.max_discarded_bytes;
  arriving.continue_due = false;

  Exchange& exchange = Enqueue();
  exchange.response = std::move(response);
  exchange.ready = true;
  exchange.close = arriving.last;
  if (uncertain || left > state_.options.max_discarded_bytes || (!chunked && left == 0)) {
    NextRequest(arriving.last);
  } else {
    phase_ = chunked ? Phase::kSkipChunked : Phase::kSkip;
  }
}

void Connection::Abort(int status, std::string_view reason) {
  Exchange& exchange = Enqueue();
  exchange.response = PlainError(status, std::string(reason));
  exchange.ready = true;
  exchange.close = true;
  NextRequest(true);
}

void Connection::Dispatch() {
  ArrivingRequest& arriving = *arriving_;
  Exchange& exchange = Enqueue();
  exchange.close = arriving.last;
  ++state_.in_flight;
  // Small enough to live inside of the function object: an answer made at once allocates nothing for its way back.
  auto send = [mailbox = loop_.mailbox(), token = exchange.token](Response response) {
    mailbox->Answer(token, std::move(response));
  };
  static_assert(sizeof(send) <= 3 * sizeof(void*));
  try {
    arriving.decision.handle(RequestView(arriving.head(), arriving.body.view(), peer_), Reply(std::move(send)));
  } catch (const std::exception& fault) {
    // The reply went with the stack, and answered 500.
    state_.log.Error("{} {}: {}", arriving.head().method(), arriving.head().path(), fault.what());
  }
  NextRequest(arriving.last);
}

void Connection::NextRequest(bool last) {
  if (arriving_) loop_.EndArrival(std::move(arriving_));
  linger_ |= last;
  phase_ = last || draining_ || peer_done_ ? Phase::kStopped : Phase::kHead;
}

}  // namespace mi::net
