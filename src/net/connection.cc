#include "net/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <exception>
#include <limits>
#include <utility>

#include "base/ascii.h"
#include "base/format.h"
#include "net/loop.h"
#include "net/response_text.h"
#include "net/server_state.h"

// The states of a connection. Only kHead may be idle; an arrow back to kHead goes to kFinishing instead if the
// connection ends after that request, if the server drains, or if the peer has closed its side.
//
//      ┌────────────────── dispatch ───────────────────┐
//      ▼                                               │
//    kHead ──► head accepted ──► kBody, kChunkedBody ──┤
//      │                              │ too large,     │
//      │                              ▼ no memory      │
//      └─► head refused ──► kSkippedBody, kSkippedChunks (the answer is queued already)
//      │
//      ▼ last request, malformed request, drain, end of input
//    kFinishing ──► all answers are written ──► kLingering ──► the peer closes, or time is up ──► kClosed
//
// kLingering exists because closing a socket with unread bytes resets the connection, and a reset may destroy an answer
// that the peer has not read yet. The writing side is independent: it writes the answers that are ready, in order, as
// far as the socket takes them. An error of the socket leads to kClosed from everywhere.

namespace mi::net {
namespace {

using std::chrono::steady_clock;

constexpr uint32_t kReadable = EPOLLIN;
constexpr uint32_t kWritable = EPOLLOUT;
constexpr uint32_t kHangUp = EPOLLRDHUP;
constexpr int kReadsPerTurn = 16;  // then the other connections have their turn
constexpr size_t kInputBytes = 16 << 10;
constexpr size_t kFirstBodyBytes = 1 << 20;    // room for a body when it begins to arrive
constexpr size_t kMinGrowthBytes = 16 << 10;   // by which the room of a body grows if it is slow or memory is short
constexpr size_t kMaxPipelined = 64;           // requests of one connection that wait for answers
constexpr size_t kMaxUnsentBytes = 256 << 10;  // of answers, before more requests are read
constexpr size_t kShortAnswerBytes = 4 << 10;  // is sent even if no memory is left
constexpr size_t kMaxJoinedBytes = 256 << 10;  // of answers that are prepared before the first is sent
constexpr size_t kMaxAheadBytes = 256 << 10;   // how far a streamed answer is computed ahead of its reader
constexpr size_t kProgressBytes = 256 << 10;   // what a peer must take within write_timeout
constexpr std::chrono::seconds kLingerTimeout{2};

Response PlainError(int status, std::string text) {
  text.push_back('\n');
  return {.status = status, .body = std::move(text)};
}

}  // namespace

Connection::Connection(Loop& loop, FileDescriptor socket, uint32_t id, std::string peer, Purpose purpose)
    : loop_(loop),
      server_(loop.server()),
      socket_(std::move(socket)),
      id_(id),
      peer_(std::move(peer)),
      purpose_(purpose),
      interest_(kReadable),
      idle_since_(steady_clock::now()) {
  if (purpose_ == Purpose::kReject) {
    EnqueueLast({.status = 503,
                 .body = format("{} connections are open, limit {} (receive.max_connections)\n",
                                server_.open_connections.load(), server_.max_connections.load()),
                 .headers = {{"Retry-After", "5"}}});
    state_ = State::kFinishing;
  }
}

Connection::~Connection() { Close(); }

// A turn: reads and dispatches, then writes the answers that are ready, then tells epoll what to watch for. Handlers
// run inside it and may answer at once: Answer() then only marks the exchange, and this function writes it. So neither
// one connection's work nor another's nests in a handler, and every function below may assume that it is the only one.
//
// Something must end each wait. A connection waits for bytes (EPOLLIN, if WantsInput()), for room in the socket
// (EPOLLOUT, if blocked_since_ is set), for an answer or a chunk (the mailbox), or for a time-out (the sweep). A turn
// costs one system call for epoll only if the interest changes.
void Connection::Run() {
  if (state_ == State::kClosed) return;
  assert(!running_);
  running_ = true;
  ReadAndDispatch();
  if (draining_ && state_ == State::kHead && arriving_ == nullptr) state_ = State::kFinishing;
  WriteAnswers();
  HoldWhatWaits();
  running_ = false;
  if (state_ == State::kClosed) return;
  const uint32_t interest =
      (WantsInput() ? kReadable : 0) | (blocked_since_ ? kWritable : 0) | (AwaitsHangUp() ? kHangUp : 0);
  if (interest != interest_) loop_.Watch(socket_.get(), id_, interest_ = interest);
  // The last write may have made room for a request that has arrived already, which no event will announce.
  if (arriving_ == nullptr && !input().empty() && MayTakeRequest()) loop_.RunSoon(id_);
}

void Connection::OnReady(uint32_t events) {
  // The peer has gone while its answer is being made: nobody would read it.
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && !WantsInput()) return Close();
  if ((events & kHangUp) != 0) Abandon();
  Run();
}

// Order matters. First it takes the requests that have arrived, because their senders may not repeat them. Then it sets
// draining_: from now on the end of a request leads to kFinishing instead of kHead, and the last answer says
// "Connection: close". A request that is still arriving may complete; the server cuts it when its patience ends.
void Connection::BeginDrain() {
  if (state_ == State::kClosed) return;
  if (purpose_ == Purpose::kReject || state_ == State::kLingering) return Close();
  running_ = true;
  ReadAndDispatch();  // what has arrived by now is still taken
  running_ = false;
  draining_ = true;
  if (exchanges_.empty() && output_.empty() && arriving_ == nullptr) return Close();
  Run();
}

// Gives back everything that the connection holds, at once; only the empty object lives until the end of the loop's
// turn. Closing the socket also removes it from epoll. A reply that comes later finds no connection with this id, so
// PopFront() counts the requests that were not answered out of in_flight here.
void Connection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  socket_.reset();
  Abandon();
  while (!exchanges_.empty()) PopFront();
  answer_bytes_ = 0;
  output_.Clear();
  arriving_.reset();
  ReturnInput();
  server_.budget.GiveBack(std::exchange(held_, 0));
  if (purpose_ == Purpose::kServe) server_.CloseOne();
  loop_.Forget(id_);
}

// A connection waits for one thing at a time, in this order: for the end of a lingering connection, for a peer that
// does not take its answers, for a request that arrives (since its first byte, so that single bytes do not prolong it),
// and for a request to begin. Nothing applies while it waits for a handler, which bounds its own time.
std::optional<Connection::Wait> Connection::wait() const {
  if (state_ == State::kClosed || running_) return std::nullopt;
  if (state_ == State::kLingering) return Wait{Wait::Kind::kLingering, idle_since_};
  if (blocked_since_) return Wait{Wait::Kind::kUnread, *blocked_since_};
  if (arriving_ && WantsInput()) return Wait{Wait::Kind::kArriving, arriving_->since};
  if (exchanges_.empty() && state_ == State::kHead) return Wait{Wait::Kind::kIdle, idle_since_};
  return std::nullopt;
}

void Connection::CheckTimeouts(TimePoint now) {
  const std::optional<Wait> waiting = wait();
  if (!waiting) return;
  const auto is_over = [&](std::chrono::milliseconds timeout) { return now - waiting->since > timeout; };
  switch (waiting->kind) {
    case Wait::Kind::kLingering: return is_over(kLingerTimeout) ? Close() : void();
    case Wait::Kind::kUnread: return is_over(server_.options.write_timeout) ? Close() : void();
    case Wait::Kind::kIdle: return is_over(server_.idle_timeout.load()) ? Close() : void();
    case Wait::Kind::kArriving:
      if (!is_over(server_.options.read_timeout)) return;
      EndArriving(PlainError(408, "the request took too long to arrive"));
      Run();
  }
}

void Connection::ShrinkBody() {
  if (arriving_ && !running_) arriving_->body.Shrink();  // a handler that runs has a view of the body
}

// The next turn sends the answer. What was received is of no use any more.
void Connection::GiveUp() {
  assert(wait());
  if (wait()->kind != Wait::Kind::kArriving) return Close();
  EndArriving(OutOfBudget());
  ReturnInput();
  server_.budget.GiveBack(std::exchange(held_, 0));
  loop_.RunSoon(id_);
}

// Ends the connection with this answer to the request that arrives, unless it has one already.
void Connection::EndArriving(Response response) {
  if (state_ != State::kSkippedBody && state_ != State::kSkippedChunks) EnqueueLast(std::move(response));
  NextRequest(true);
}

// Back pressure. A connection that has too many requests in work or too many answers unsent takes no further request.
// It then stops reading, so TCP slows the peer down. A request that has begun to arrive is always read to its end.
bool Connection::MayTakeRequest() const {
  if (state_ != State::kHead || exchanges_.size() >= kMaxPipelined) return false;
  if (answer_bytes_ + output_.bytes() > kMaxUnsentBytes) return false;
  return exchanges_.empty() || !exchanges_.back().holds_up_next;
}

bool Connection::WantsInput() const {
  if (state_ == State::kClosed || state_ == State::kFinishing || peer_is_done_) return false;
  return state_ != State::kHead || arriving_ != nullptr || MayTakeRequest();
}

// Alternates between parsing and reading until the socket is empty, nothing more may be taken, or the turn is used up.
// Parsing comes first: input may wait from an earlier turn. kBlocked means that input waits for answers to be written;
// if they can be written now, parsing goes on, because no event would report input that was read already.
void Connection::ReadAndDispatch() {
  bool socket_is_empty = false;  // the last read took everything
  for (int reads = 0;;) {
    const Step step = Consume();
    if (state_ == State::kClosed) return;
    if (step == Step::kBlocked) {
      WriteAnswers();
      if (!MayTakeRequest()) return;
      continue;
    }
    if (!WantsInput() || socket_is_empty || reads++ == kReadsPerTurn) return;
    if (!Read(socket_is_empty)) return;
  }
}

// Returns false if there is nothing to read for now.
bool Connection::Read(bool& socket_is_empty) {
  if (state_ == State::kBody) {
    BodyBuffer& body = arriving_->body;
    if (body.room() == 0 && !GrowBody()) return true;
    const size_t got = Receive(body.end(), body.room(), socket_is_empty);
    if (got > 0) body.Grew(std::min(got, body.room()));
    return got > 0;
  }
  if (!MakeInputRoom()) {
    EndArriving(PlainError(431, "header (or the frame of a chunk) is too large"));
    return true;
  }
  return Receive(nullptr, 0, socket_is_empty) > 0;
}

// Fills the rest of a body, then the input: the next request often arrives with the end of this one. A body of a
// declared length thus goes from the kernel straight into its buffer; only what arrived with its head is copied.
size_t Connection::Receive(char* body, size_t room, bool& socket_is_empty) {
  if (input_.bytes == nullptr) input_ = loop_.pool().Take(kInputBytes);
  const size_t input_room = input_.capacity - input_end_;
  const std::array<iovec, 2> parts = {iovec{body, room}, iovec{input_.bytes.get() + input_end_, input_room}};
  const ssize_t received = readv(socket_.get(), parts.data(), parts.size());
  if (received < 0) {
    if (errno != EAGAIN && errno != EINTR) Close();
    return 0;
  }
  if (received == 0) {
    OnEndOfInput();
    return 0;
  }
  const size_t got = static_cast<size_t>(received);
  if (got > room) input_end_ += got - room;
  socket_is_empty = got < room + input_room;
  return got;
}

// Tells the handlers that compute for long that nobody waits for their answers. They answer all the same.
void Connection::Abandon() {
  for (Exchange& exchange : exchanges_) {
    if (exchange.abandoned) std::exchange(exchange.abandoned, nullptr)->store(true, std::memory_order_relaxed);
  }
}

// A connection that reads learns of the end of input by reading. One that reads nothing (its last request has arrived,
// or too many are in work) asks epoll, if a handler wants to know.
bool Connection::AwaitsHangUp() const {
  return !WantsInput() && !peer_is_done_ &&
         std::ranges::any_of(exchanges_, [](const Exchange& exchange) { return exchange.abandoned != nullptr; });
}

// The peer sends no more. It may still read, but clients that give up a request look the same, so what takes long is
// abandoned, as Go's server does.
void Connection::OnEndOfInput() {
  peer_is_done_ = true;
  Abandon();
  switch (state_) {
    case State::kLingering: return Close();
    case State::kFinishing:
    case State::kClosed: return;
    case State::kSkippedBody:
    case State::kSkippedChunks: return NextRequest(true);
    case State::kBody:
      return Abort(400, format("the body ended after {} bytes, Content-Length is {}", arriving_->body.size(),
                               arriving_->body_bytes));
    case State::kHead:
    case State::kChunkedBody:
      if (arriving_) return Abort(400, "the request ended early");
      state_ = State::kFinishing;
  }
}

void Connection::DropInput(size_t count) {
  input_begin_ += count;
  if (input_begin_ == input_end_) input_begin_ = input_end_ = 0;
}

void Connection::ReturnInput() {
  loop_.pool().Return(std::exchange(input_, {}));
  input_begin_ = input_end_ = 0;
}

// Makes room behind the unread input: moves the input to the front, or else into a block of twice the size. Returns
// false if what has to be parsed in one piece is larger than a header may be.
bool Connection::MakeInputRoom() {
  if (input_.bytes == nullptr || input_end_ < input_.capacity) return true;
  const size_t size = input_end_ - input_begin_;
  if (input_begin_ > 0) {
    std::memmove(input_.bytes.get(), input_.bytes.get() + input_begin_, size);
  } else {
    if (size > server_.options.max_header_bytes) return false;
    Block larger = loop_.pool().Take(input_.capacity * 2);
    std::memcpy(larger.bytes.get(), input_.bytes.get(), size);
    loop_.pool().Return(std::exchange(input_, std::move(larger)));
  }
  input_begin_ = 0;
  input_end_ = size;
  return true;
}

// What waits between two turns: unread input, the request that arrives, and answers that are not written. An idle
// connection holds nothing, and neither does one whose only request is with its handler.
size_t Connection::BytesToHold() const {
  if (state_ == State::kClosed) return 0;
  return input_.capacity + (arriving_ ? sizeof(ArrivingRequest) + arriving_->parser.held_bytes() : 0) +
         (exchanges_.size() > 1 ? exchanges_.size() * sizeof(Exchange) : 0) + answer_bytes_ + output_.held_bytes();
}

// Takes from the budget. If the budget is used up, others may have to give up what they hold (Loop::MakeRoom).
bool Connection::Hold(size_t bytes) {
  if (!server_.budget.TryTake(bytes)) {
    const bool was_running = std::exchange(running_, true);  // this connection is not given up itself
    loop_.MakeRoom(bytes, peer_);
    running_ = was_running;
    if (!server_.budget.TryTake(bytes)) return false;
  }
  held_ += bytes;
  return true;
}

// At the end of a turn: brings held_ to what waits now. Without budget, the connection ends: a peer that does not read
// its answers is cut off, and a request that arrives is refused; earlier requests still get their answers.
void Connection::HoldWhatWaits() {
  if (input_begin_ == input_end_) ReturnInput();
  if (arriving_ && server_.memory_is_short()) arriving_->body.Shrink();
  const size_t wanted = BytesToHold();
  if (wanted <= held_) {
    if (wanted < held_) server_.budget.GiveBack(held_ - wanted);
    held_ = wanted;
    return;
  }
  if (Hold(wanted - held_)) return;
  if (answer_bytes_ + output_.held_bytes() > kShortAnswerBytes) return Close();
  if (input().empty() && arriving_ == nullptr) return;  // some words about requests that their handlers have
  ReturnInput();
  if (state_ != State::kFinishing && state_ != State::kLingering) EndArriving(OutOfBudget());
  WriteAnswers();
}

Connection::Step Connection::Consume() {
  Step step = Step::kAgain;
  while (step == Step::kAgain) {
    switch (state_) {
      case State::kHead: step = ConsumeHead(); break;
      case State::kBody: step = ConsumeBody(); break;
      case State::kChunkedBody: step = ConsumeChunks(); break;
      case State::kSkippedBody: step = ConsumeSkippedBody(); break;
      case State::kSkippedChunks: step = ConsumeSkippedChunks(); break;
      case State::kLingering: step = DropLingering(); break;
      case State::kFinishing:
      case State::kClosed: step = Step::kBlocked; break;
    }
  }
  return step;
}

Connection::Step Connection::ConsumeHead() {
  if (!arriving_) {
    if (!MayTakeRequest()) return Step::kBlocked;
    // Empty lines between requests are ignored (RFC 9112, 2.2).
    while (!input().empty() && (input().front() == '\r' || input().front() == '\n')) DropInput(1);
    if (input().empty()) return Step::kNeedInput;
    arriving_ = std::make_unique<ArrivingRequest>(static_cast<uint32_t>(server_.options.max_header_bytes), loop_.pool(),
                                                  server_.budget);
  }
  const RequestParser::Step parsed = arriving_->parser.ParseHead(input());
  DropInput(parsed.consumed);
  switch (parsed.outcome) {
    case RequestParser::Outcome::kNeedMore: return Step::kNeedInput;
    case RequestParser::Outcome::kDone:
    case RequestParser::Outcome::kHead: OnHead(); break;
    case RequestParser::Outcome::kBad: Abort(400, arriving_->parser.reason()); break;
    case RequestParser::Outcome::kNotImplemented: Abort(501, "transfer coding is not chunked"); break;
    case RequestParser::Outcome::kHeaderTooLarge: AbortLargeHeader(); break;
  }
  return Step::kAgain;
}

Connection::Step Connection::ConsumeBody() {
  BodyBuffer& body = arriving_->body;
  if (!input().empty()) arriving_->continue_due = false;
  while (body.size() < arriving_->body_bytes && !input().empty()) {
    if (body.room() == 0 && !GrowBody()) return Step::kAgain;
    const std::string_view part = input().substr(0, body.room());
    body.Append(part);
    DropInput(part.size());
  }
  if (body.size() < arriving_->body_bytes) return Step::kNeedInput;
  Dispatch();
  return Step::kAgain;
}

Connection::Step Connection::ConsumeChunks() {
  if (!input().empty()) arriving_->continue_due = false;
  std::string& piece = loop_.scratch();
  piece.clear();
  const RequestParser::Step parsed = arriving_->parser.ParseChunked(input(), piece);
  DropInput(parsed.consumed);
  arriving_->body_bytes += piece.size();
  BodyBuffer& body = arriving_->body;
  if (arriving_->body_bytes > arriving_->decision.max_body_bytes) {
    RefuseTooLarge();
    return Step::kAgain;
  }
  if (body.room() < piece.size() && !GrowBody(body.reserved() * 2, body.size() + piece.size())) {
    return Step::kAgain;
  }
  body.Append(piece);
  switch (parsed.outcome) {
    case RequestParser::Outcome::kNeedMore: return Step::kNeedInput;
    case RequestParser::Outcome::kDone: Dispatch(); break;
    case RequestParser::Outcome::kHeaderTooLarge: AbortLargeHeader(); break;  // with the trailers
    default: Abort(400, arriving_->parser.reason()); break;
  }
  return Step::kAgain;
}

Connection::Step Connection::ConsumeSkippedBody() {
  const size_t count = std::min<uint64_t>(input().size(), arriving_->body_bytes - arriving_->skipped);
  DropInput(count);
  arriving_->skipped += count;
  if (arriving_->skipped < arriving_->body_bytes) return Step::kNeedInput;
  NextRequest(arriving_->is_last);
  return Step::kAgain;
}

Connection::Step Connection::ConsumeSkippedChunks() {
  std::string& piece = loop_.scratch();
  piece.clear();
  const RequestParser::Step parsed = arriving_->parser.ParseChunked(input(), piece);
  DropInput(parsed.consumed);
  arriving_->skipped += piece.size();
  const bool is_over = arriving_->skipped > server_.options.max_discarded_bytes;
  if (parsed.outcome == RequestParser::Outcome::kNeedMore && !is_over) return Step::kNeedInput;
  NextRequest(is_over || arriving_->is_last || parsed.outcome != RequestParser::Outcome::kDone);
  return Step::kAgain;
}

Connection::Step Connection::DropLingering() {
  lingered_ += input().size();
  DropInput(input().size());
  if (lingered_ > server_.options.max_discarded_bytes) Close();
  return Step::kNeedInput;
}

// Calls a function of a handler. An exception is a mistake in the handler: it is logged, and false is returned.
template <typename Call>
bool Connection::CallHandler(const Call& call) {
  try {
    call();
    return true;
  } catch (const std::exception& fault) {
    server_.log.Error("{} {}: {}", arriving_->request().method(), arriving_->request().path(), fault.what());
    return false;
  }
}

void Connection::OnHead() {
  ArrivingRequest& arriving = *arriving_;
  Request& request = arriving.request();
  const Request::Framing& framing = request.framing();
  request.SetPeer(peer_);
  arriving.is_last = !framing.keep_alive;
  arriving.body_bytes = framing.content_length.value_or(0);

  const std::optional<std::string_view> expect = framing.is_http10 ? std::nullopt : request.Header("Expect");
  const bool expects_continue = expect && EqualsIgnoringCase(*expect, "100-continue");
  arriving.continue_due = expects_continue && (framing.chunked || arriving.body_bytes > 0);
  if (expect && !expects_continue) return Refuse(PlainError(417, "the only expectation known is 100-continue"));

  Handler* const handler = server_.router.Find(request.path());
  if (handler == nullptr) return Refuse(PlainError(404, "not found"));
  if (!CallHandler([&] { arriving.decision = handler->Head(request); })) {
    return Refuse(PlainError(500, "internal error"));
  }
  if (arriving.decision.answer) return Refuse(*std::move(arriving.decision.answer));
  assert(arriving.decision.handle);
  if (arriving.body_bytes > arriving.decision.max_body_bytes) return RefuseTooLarge();
  ExpectBody();
}

void Connection::ExpectBody() {
  if (arriving_->request().framing().chunked) {
    state_ = State::kChunkedBody;
  } else if (arriving_->body_bytes == 0) {
    Dispatch();
  } else if (GrowBody(kFirstBodyBytes, kMinGrowthBytes)) {
    state_ = State::kBody;
  }
}

// For a body that needs more room. What has shrunk grows in small steps at first.
bool Connection::GrowBody() {
  const BodyBuffer& body = arriving_->body;
  return GrowBody(body.reserved() * 2, body.size() + kMinGrowthBytes);
}

// Makes room for `wanted` bytes in all, or for `least` if that is more or memory is short. Returns false if the budget
// has no room. The request is refused then.
bool Connection::GrowBody(size_t wanted, size_t least) {
  const bool chunked = arriving_->request().framing().chunked;
  const size_t most = chunked ? std::numeric_limits<size_t>::max() : arriving_->body_bytes;
  least = std::min(least, most);
  wanted = std::clamp(wanted, least, most);
  if (server_.memory_is_short()) {
    const bool may_fit = std::bit_ceil(wanted) <= server_.budget.limit();
    loop_.MakeRoom(std::bit_ceil(may_fit ? wanted : least), peer_);
  }
  if (arriving_->body.Reserve(wanted) || arriving_->body.Reserve(least)) return true;
  Refuse(OutOfBudget());
  return false;
}

Response Connection::OutOfBudget() const {
  Response busy = PlainError(
      503, format("{} of requests and answers are in memory, limit {} (receive.max_buffered_bytes); try again",
                  FormatBytes(server_.budget.used()), FormatBytes(server_.budget.limit())));
  busy.headers.emplace_back("Retry-After", "1");
  return busy;
}

void Connection::RefuseTooLarge() {
  const HeadDecision& decision = arriving_->decision;
  const uint64_t bytes = arriving_->body_bytes;
  Response refusal = PlainError(500, "internal error");
  if (!decision.too_large) {
    refusal = PlainError(413, format("body is {}, limit {}", FormatBytes(bytes), FormatBytes(decision.max_body_bytes)));
  } else {
    CallHandler([&] { refusal = decision.too_large(bytes); });
  }
  Refuse(std::move(refusal));
}

// Answers at once, and drops the body that may follow, so that its sender gets to read the answer. A body that is too
// long to be dropped ends the connection. So does a sender that waits for "100 Continue": whether it will send its body
// all the same cannot be known.
void Connection::Refuse(Response response) {
  ArrivingRequest& arriving = *arriving_;
  const bool chunked = arriving.request().framing().chunked;
  const bool is_uncertain = arriving.continue_due && state_ == State::kHead && input().empty();
  arriving.skipped = chunked ? arriving.body_bytes : arriving.body.size();
  arriving.body.Clear();
  const uint64_t left = chunked ? 0 : arriving.body_bytes - arriving.skipped;
  const bool is_endless = is_uncertain || left > server_.options.max_discarded_bytes;
  arriving.is_last |= is_endless;
  arriving.continue_due = false;

  Exchange& exchange = Enqueue();
  SetAnswer(exchange, std::move(response));
  exchange.closes = arriving.is_last;
  if (is_endless || (!chunked && left == 0)) {
    NextRequest(arriving.is_last);
  } else {
    state_ = chunked ? State::kSkippedChunks : State::kSkippedBody;
  }
}

// Answers, and ends the connection: nothing that can be understood may follow.
void Connection::Abort(int status, std::string_view reason) {
  EnqueueLast(PlainError(status, std::string(reason)));
  NextRequest(true);
}

void Connection::AbortLargeHeader() {
  Abort(431, format("header is larger than {}", FormatBytes(server_.options.max_header_bytes)));
}

void Connection::Dispatch() {
  ArrivingRequest& arriving = *arriving_;
  Exchange& exchange = Enqueue();
  exchange.closes = arriving.is_last;
  exchange.abandoned = std::move(arriving.decision.abandoned);
  exchange.holds_up_next |= arriving.decision.large_answer;
  ++server_.in_flight;
  // Small enough for the function object itself: an answer that is made at once allocates nothing on its way back.
  auto send = [mailbox = loop_.mailbox(), connection = id_, number = exchange.number](Response response) {
    mailbox->Answer(connection, number, std::move(response));
  };
  static_assert(sizeof(send) <= 3 * sizeof(void*));
  arriving.request().SetBody(arriving.body.view());
  // If the handler throws, the reply is destroyed, and answers 500.
  CallHandler([&] { arriving.decision.handle(arriving.request(), Reply(std::move(send))); });
  NextRequest(arriving.is_last);
}

void Connection::NextRequest(bool is_last) {
  arriving_.reset();
  state_ = is_last || draining_ || peer_is_done_ ? State::kFinishing : State::kHead;
}

Connection::Exchange& Connection::Enqueue() {
  Exchange& exchange = exchanges_.emplace_back(Exchange{.number = next_number_++});
  if (arriving_) {
    exchange.is_http10 = arriving_->request().framing().is_http10;
    exchange.holds_up_next = exchange.is_http10;  // its answer may have to end the connection
    exchange.is_head_only = arriving_->request().method() == "HEAD";
  }
  return exchange;
}

void Connection::EnqueueLast(Response response) {
  Exchange& exchange = Enqueue();
  SetAnswer(exchange, std::move(response));
  exchange.closes = true;
}

void Connection::SetAnswer(Exchange& exchange, Response response) {
  answer_bytes_ += response.body.capacity();
  exchange.response = std::move(response);
  exchange.is_ready = true;
}

void Connection::PopFront() {
  if (!exchanges_.front().is_ready) --server_.in_flight;
  exchanges_.pop_front();
  if (exchanges_.empty()) idle_since_ = steady_clock::now();
}

void Connection::Answer(uint32_t number, Response response) {
  const auto found = std::ranges::find(exchanges_, number, &Exchange::number);
  if (found == exchanges_.end()) return;
  if (response.body.size() > kShortAnswerBytes && !Hold(response.body.capacity())) response = OutOfBudget();
  SetAnswer(*found, std::move(response));
  found->abandoned.reset();
  --server_.in_flight;
  if (!running_) loop_.RunSoon(id_);
}

// Writes answers in the order of the requests: exchanges_ is a queue, and only its front is written, once it is ready.
// An answer that is ready early waits in its exchange.
//
//   exchanges_   [1 ready] [2 ready] [3 waits for its handler] [4 ready]
//                └── joined in output_, one sendmsg ──┘
//
// It joins up to kMaxJoinedBytes before it sends, so many small answers cost one system call. "100 Continue" is due
// only when no earlier answer is outstanding, because it would be taken for the answer to an earlier request.
void Connection::WriteAnswers() {
  if (state_ == State::kClosed) return;
  const auto front_is_due = [this] {
    return !exchanges_.empty() && exchanges_.front().is_ready && stream_ == Stream::kNone;
  };
  do {
    while (front_is_due() && output_.bytes() < kMaxJoinedBytes) WriteFront();
    const bool awaits_body = state_ == State::kBody || state_ == State::kChunkedBody;
    if (exchanges_.empty() && awaits_body && std::exchange(arriving_->continue_due, false)) {
      output_.Append("HTTP/1.1 100 Continue\r\n\r\n");
    }
    Flush();
    if (state_ == State::kClosed) return;
  } while (output_.empty() && front_is_due());
  if (stream_ == Stream::kNeedsChunk && output_.bytes() <= kMaxAheadBytes) AskForChunk();
  FinishWhenDone();
}

void Connection::WriteFront() {
  Exchange& exchange = exchanges_.front();
  Response& response = exchange.response;
  const bool has_body = HasBody(response.status) && !exchange.is_head_only;
  const bool is_streamed = has_body && response.next_chunk;
  if (is_streamed && exchange.is_http10) {  // HTTP/1.0 has no chunks: the end of the connection ends the answer
    exchange.closes = true;
    state_ = State::kFinishing;
  }
  const bool is_last = exchange.closes || (state_ == State::kFinishing && exchanges_.size() == 1);
  std::string head;
  head.reserve(256);
  AppendResponseHead(response,
                     {.http10 = exchange.is_http10,
                      .persistence = is_last ? Persistence::kClose : Persistence::kKeepAlive,
                      .date = loop_.HttpDate()},
                     head);
  output_.Append(head);
  answer_bytes_ -= response.body.capacity();
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
void Connection::Flush() {
  while (!output_.empty()) {
    const auto pieces = output_.Front();
    std::array<iovec, std::tuple_size_v<decltype(pieces)>> parts{};
    for (size_t i = 0; i < pieces.size(); ++i) parts[i] = {const_cast<char*>(pieces[i].data()), pieces[i].size()};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const ssize_t written = sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return Close();
      if (!blocked_since_) {
        blocked_since_ = steady_clock::now();
        taken_ = 0;
      }
      return;
    }
    output_.Written(static_cast<size_t>(written));
    if (!blocked_since_) continue;
    taken_ += static_cast<size_t>(written);
    if (taken_ < kProgressBytes) continue;
    blocked_since_ = steady_clock::now();
    taken_ = 0;
  }
  blocked_since_.reset();
}

// Makes the next chunk on a worker's thread. It comes back through the mailbox, as answers do.
//
//   kNone ── WriteFront() ──► kNeedsChunk ── AskForChunk() ──► kAwaitsChunk
//     ▲                            ▲                                │
//     └── OnChunk(), empty ────────┴───────── OnChunk(), more ──────┘
//
// The function that makes the chunks is in one place at a time: in the exchange, with the worker, or in the mailbox. So
// it needs no lock, and a connection that closes while the worker has it leaves it intact. At most one chunk is in
// work, and none is asked for while more than kMaxAheadBytes are unsent: a slow reader bounds the memory of its answer.
void Connection::AskForChunk() {
  assert(!exchanges_.empty());  // the front one is the stream
  stream_ = Stream::kAwaitsChunk;
  server_.workers.Run([next = std::move(exchanges_.front().response.next_chunk), mailbox = loop_.mailbox(),
                       connection = id_, &log = server_.log]() mutable {
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

void Connection::OnChunk(std::string chunk, std::function<void(std::string&)> next, bool failed) {
  assert(stream_ == Stream::kAwaitsChunk);
  if (failed) return Close();  // without the last chunk, so that the peer knows
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
  Run();
}

// Half-closes the socket, which delivers everything that was written, and then waits for the peer (kLingering). If the
// peer has closed its side already, nothing unread can follow, and the socket closes without a reset.
void Connection::FinishWhenDone() {
  if (state_ != State::kFinishing || !exchanges_.empty() || !output_.empty()) return;
  if (peer_is_done_) return Close();
  shutdown(socket_.get(), SHUT_WR);
  state_ = State::kLingering;
  idle_since_ = steady_clock::now();
}

}  // namespace mi::net
