#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <cassert>
#include <exception>

#include "net/connection.h"
#include "net/response_text.h"

namespace mi::net {
namespace {

constexpr size_t kMaxJoinedBytes = 256 << 10;   // of answers made ready before the first is sent
constexpr size_t kChunkAheadBytes = 256 << 10;  // a streamed answer is computed at most so far ahead of its peer
constexpr size_t kProgressBytes = 64 << 10;     // what a peer must take within write_timeout

}  // namespace

Exchange& Connection::Enqueue() {
  Exchange& exchange = loop_.exchanges().New(*this);
  if (arriving_) {
    exchange.http10 = arriving_->head().http10();
    exchange.head_only = arriving_->head().method() == "HEAD";
  }
  (first_ == nullptr ? first_ : last_->next) = &exchange;
  last_ = &exchange;
  ++exchange_count_;
  return exchange;
}

void Connection::PopFront() {
  Exchange& exchange = *first_;
  first_ = exchange.next;
  if (first_ == nullptr) last_ = nullptr;
  --exchange_count_;
  if (!exchange.ready) --state_.in_flight;
  loop_.exchanges().Free(exchange);
}

void Connection::WriteAnswers() {
  do {
    while (first_ != nullptr && first_->ready && !streaming_ && output_.bytes() < kMaxJoinedBytes) WriteFront();
    const bool body_awaited = phase_ == Phase::kBody || phase_ == Phase::kChunked;
    if (first_ == nullptr && body_awaited && std::exchange(arriving_->continue_due, false)) {
      output_.Append("HTTP/1.1 100 Continue\r\n\r\n");
    }
    Flush();
  } while (!closed_ && output_.empty() && first_ != nullptr && first_->ready && !streaming_);
  if (closed_) return;
  if (streaming_ && !chunk_asked_ && output_.bytes() <= kChunkAheadBytes) AskForChunk();
  FinishWhenDone();
}

void Connection::WriteFront() {
  Exchange& exchange = *first_;
  Response& response = exchange.response;
  const bool has_body = HasBody(response.status) && !exchange.head_only;
  const bool streamed = has_body && response.next_chunk;
  if (streamed && exchange.http10) {  // HTTP/1.0 has no chunks: the end of the connection is the end of the answer
    exchange.close = true;
    phase_ = Phase::kStopped;
    linger_ = true;
  }
  const bool last = exchange.close || (phase_ == Phase::kStopped && exchange.next == nullptr);
  linger_ |= last;
  std::string head;
  head.reserve(256);
  AppendResponseHead(response,
                     {.http10 = exchange.http10,
                      .persistence = last ? Persistence::kClose : Persistence::kKeepAlive,
                      .date = loop_.HttpDate()},
                     head);
  output_.Append(head);
  if (streamed) {
    streaming_ = true;
    return;
  }
  if (has_body) output_.Take(std::move(response.body));
  PopFront();
  if (first_ == nullptr) idle_since_ = std::chrono::steady_clock::now();
}

void Connection::Flush() {
  while (!output_.empty()) {
    const auto pieces = output_.Front();
    std::array<boost::asio::const_buffer, std::tuple_size_v<decltype(pieces)>> buffers;
    for (size_t i = 0; i < pieces.size(); ++i) buffers[i] = boost::asio::buffer(pieces[i].data(), pieces[i].size());
    boost::system::error_code error;
    const size_t written = socket_.write_some(buffers, error);
    if (error == boost::asio::error::would_block) {
      if (!std::exchange(write_blocked_, true)) {
        blocked_since_ = std::chrono::steady_clock::now();
        taken_ = 0;
      }
      return AwaitWritable();
    }
    if (error) return Shut();
    output_.Written(written);
    if (!write_blocked_) continue;
    taken_ += written;
    if (taken_ < kProgressBytes) continue;
    blocked_since_ = std::chrono::steady_clock::now();
    taken_ = 0;
  }
  write_blocked_ = false;
}

void Connection::AskForChunk() {
  assert(first_ != nullptr);  // it is what streams
  chunk_asked_ = true;
  state_.workers.Run([next = std::move(first_->response.next_chunk), mailbox = loop_.mailbox(), token = first_->token,
                      &log = state_.log]() mutable {
    std::string chunk;
    bool failed = false;
    try {
      next(chunk);
    } catch (const std::exception& fault) {
      log.Error("an answer broke off: {}", fault.what());
      failed = true;
    }
    if (failed || chunk.empty()) next = nullptr;  // here, because what it holds may be large
    mailbox->Post([token, failed, chunk = std::move(chunk), next = std::move(next)](Loop& loop) mutable {
      loop.OnChunk(token, std::move(chunk), std::move(next), failed);
    });
  });
}

void Connection::OnChunk(std::string chunk, std::function<void(std::string&)> next, bool failed) {
  chunk_asked_ = false;
  if (failed) return Close();  // without the last chunk, so that the peer knows
  const bool framed = !first_->http10;
  if (chunk.empty()) {
    if (framed) output_.Append("0\r\n\r\n");
    streaming_ = false;
    PopFront();
    idle_since_ = std::chrono::steady_clock::now();
  } else {
    first_->response.next_chunk = std::move(next);
    if (framed) output_.Append(mi::format("{:x}\r\n", chunk.size()));
    output_.Take(std::move(chunk));
    if (framed) output_.Append("\r\n");
  }
  Pump();
}

void Connection::FinishWhenDone() {
  if (phase_ != Phase::kStopped || first_ != nullptr || !output_.empty()) return;
  if (peer_done_ || !linger_) return Shut();
  // Closing with bytes unread would reset the connection, and the peer might never see the answer.
  boost::system::error_code ignored;
  (void)socket_.shutdown(Tcp::socket::shutdown_send, ignored);
  phase_ = Phase::kLinger;
  idle_since_ = std::chrono::steady_clock::now();
}

}  // namespace mi::net
