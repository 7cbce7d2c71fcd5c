#include "net/answer_queue.h"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <exception>
#include <utility>

#include "base/format.h"
#include "net/loop.h"
#include "net/response_text.h"
#include "net/server_state.h"

namespace mi::net {
namespace {

using std::chrono::steady_clock;

constexpr size_t kMaxPipelined = 64;           // requests of one connection that wait for answers
constexpr size_t kMaxUnsentBytes = 256 << 10;  // of answers, before more requests are read
constexpr size_t kMaxJoinedBytes = 256 << 10;  // of answers that are prepared before the first is sent
constexpr size_t kMaxAheadBytes = 256 << 10;   // how far a streamed answer is computed ahead of its reader
constexpr size_t kProgressBytes = 256 << 10;   // what a peer must take within write_timeout

}  // namespace

AnswerQueue::AnswerQueue(Loop& loop, uint32_t connection) : loop_(loop), connection_(connection) {}

AnswerQueue::Exchange& AnswerQueue::Add() {
  ++loop_.server().in_flight;
  return exchanges_.emplace_back(Exchange{.number = next_number_++});
}

AnswerQueue::Exchange* AnswerQueue::Find(uint32_t number) {
  const auto found = std::ranges::find(exchanges_, number, &Exchange::number);
  return found == exchanges_.end() ? nullptr : &*found;
}

void AnswerQueue::SetAnswer(Exchange& exchange, Response response) {
  assert(!exchange.is_ready);
  waiting_bytes_ += response.body.capacity();
  exchange.response = std::move(response);
  exchange.is_ready = true;
  exchange.abandoned.reset();
  --loop_.server().in_flight;
}

void AnswerQueue::Abandon() {
  for (Exchange& exchange : exchanges_) {
    if (exchange.abandoned) std::exchange(exchange.abandoned, nullptr)->store(true, std::memory_order_relaxed);
  }
}

bool AnswerQueue::may_be_abandoned() const {
  return std::ranges::any_of(exchanges_, [](const Exchange& exchange) { return exchange.abandoned != nullptr; });
}

// A reply that comes later finds no exchange, so the requests that were not answered are counted out of in_flight here.
void AnswerQueue::Clear() {
  while (!exchanges_.empty()) {
    if (!exchanges_.front().is_ready) --loop_.server().in_flight;
    PopFront();
  }
  waiting_bytes_ = 0;
  output_.Clear();
}

// The rest of a stream may be large: a worker destroys it.
void AnswerQueue::PopFront() {
  if (auto& rest = exchanges_.front().response.next_chunk) loop_.server().workers.Run([unused = std::move(rest)] {});
  exchanges_.pop_front();
  if (exchanges_.empty()) idle_since_ = steady_clock::now();
}

bool AnswerQueue::has_room() const {
  if (exchanges_.size() >= kMaxPipelined || waiting_bytes_ + output_.bytes() > kMaxUnsentBytes) return false;
  return exchanges_.empty() || !exchanges_.back().holds_up_next;
}

// A request that is alone with its handler holds nothing.
size_t AnswerQueue::held_bytes() const {
  return (exchanges_.size() > 1 ? exchanges_.size() * sizeof(Exchange) : 0) + answer_bytes();
}

// Writes answers in the order of the requests: exchanges_ is a queue, and only its front is written, once it is ready.
// An answer that is ready early waits in its exchange.
//
//   exchanges_   [1 ready] [2 ready] [3 waits for its handler] [4 ready]
//                └── joined in output_, one sendmsg ──┘
//
// It joins up to kMaxJoinedBytes before it sends, so many small answers cost one system call.
bool AnswerQueue::Write(Socket& socket, bool is_finishing) {
  const auto front_is_due = [this] {
    return !exchanges_.empty() && exchanges_.front().is_ready && stream_ == Stream::kNone;
  };
  do {
    while (front_is_due() && output_.bytes() < kMaxJoinedBytes) WriteFront(is_finishing);
    if (!Flush(socket)) return false;
  } while (output_.empty() && front_is_due());
  if (stream_ == Stream::kNeedsChunk && output_.bytes() <= kMaxAheadBytes) AskForChunk();
  return true;
}

bool AnswerQueue::WriteContinue(Socket& socket) {
  assert(!awaits_answer());  // it would be taken for the answer to an earlier request
  output_.Append("HTTP/1.1 100 Continue\r\n\r\n");
  return Flush(socket);
}

void AnswerQueue::WriteFront(bool is_finishing) {
  Exchange& exchange = exchanges_.front();
  Response& response = exchange.response;
  const bool has_body = HasBody(response.status) && !exchange.is_head_only;
  const bool is_streamed = has_body && response.next_chunk;
  // HTTP/1.0 has no chunks: the end of the connection ends the answer.
  ends_connection_ |= is_streamed && exchange.is_http10;
  const bool is_last = exchange.closes || ends_connection_ || (is_finishing && exchanges_.size() == 1);
  std::string head;
  head.reserve(256);
  AppendResponseHead(response,
                     {.http10 = exchange.is_http10,
                      .persistence = is_last ? Persistence::kClose : Persistence::kKeepAlive,
                      .common = loop_.Headers()},
                     head);
  output_.Append(head);
  waiting_bytes_ -= response.body.capacity();
  if (is_streamed) {
    stream_ = Stream::kNeedsChunk;
    return;
  }
  if (has_body) output_.Take(std::move(response.body));
  PopFront();
}

// Writes until output_ is empty or the socket takes no more. While it is blocked, the peer must take kProgressBytes per
// write_timeout, or the rest if that is less. So a slow reader keeps its connection, but one that reads a byte now and
// then cannot hold memory for ever. blocked_since_ is the start of the present period.
bool AnswerQueue::Flush(Socket& socket) {
  while (!output_.empty()) {
    const auto pieces = output_.Front();
    std::array<iovec, std::tuple_size_v<decltype(pieces)>> parts{};
    for (size_t i = 0; i < pieces.size(); ++i) parts[i] = {const_cast<char*>(pieces[i].data()), pieces[i].size()};
    const ssize_t written = socket.Write(parts);
    if (written == 0) return false;  // never of a socket that takes bytes
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return false;
      if (!blocked_since_) {
        blocked_since_ = steady_clock::now();
        taken_ = 0;
      }
      return true;
    }
    output_.Written(static_cast<size_t>(written));
    if (!blocked_since_) continue;
    taken_ += static_cast<size_t>(written);
    if (taken_ < kProgressBytes) continue;
    blocked_since_ = steady_clock::now();
    taken_ = 0;
  }
  blocked_since_.reset();
  return true;
}

// Makes the next chunk on a worker's thread. It comes back through the mailbox, as answers do.
//
//   kNone ── WriteFront() ──► kNeedsChunk ── AskForChunk() ──► kAwaitsChunk
//     ▲                            ▲                                │
//     └── TakeChunk(), empty ──────┴───────── TakeChunk(), more ────┘
//
// The function that makes the chunks is in one place at a time: in the exchange, with the worker, or in the mailbox. So
// it needs no lock, and a connection that closes while the worker has it leaves it intact. At most one chunk is in
// work, and none is asked for while more than kMaxAheadBytes are unsent: a slow reader bounds the memory of its answer.
void AnswerQueue::AskForChunk() {
  assert(!exchanges_.empty());  // the front one is the stream
  stream_ = Stream::kAwaitsChunk;
  ServerState& server = loop_.server();
  server.workers.Run([next = std::move(exchanges_.front().response.next_chunk), mailbox = loop_.mailbox(),
                      connection = connection_, &log = server.log]() mutable {
    std::string chunk;
    bool failed = false;
    try {
      next(chunk);
    } catch (const std::exception& fault) {
      log.Error("a streamed answer failed: {}", fault.what());
      failed = true;
    }
    if (failed || chunk.empty()) next = nullptr;  // destroyed here: what it holds may be large
    mailbox->Post([connection, failed, chunk = std::move(chunk), next = std::move(next)](Loop& loop) mutable {
      loop.OnChunk(connection, std::move(chunk), std::move(next), failed);
    });
  });
}

void AnswerQueue::TakeChunk(std::string chunk, std::function<void(std::string&)> next) {
  assert(stream_ == Stream::kAwaitsChunk);
  const bool is_framed = !exchanges_.front().is_http10;
  if (chunk.empty()) {
    if (is_framed) output_.Append("0\r\n\r\n");
    stream_ = Stream::kNone;
    PopFront();
  } else {
    stream_ = Stream::kNeedsChunk;
    exchanges_.front().response.next_chunk = std::move(next);
    if (is_framed) output_.Append(format("{:x}\r\n", chunk.size()));
    output_.Take(std::move(chunk));
    if (is_framed) output_.Append("\r\n");
  }
}

}  // namespace mi::net
