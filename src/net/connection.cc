#include "net/connection.h"

#include <sys/epoll.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cerrno>
#include <exception>
#include <limits>
#include <span>
#include <utility>

#include "base/ascii.h"
#include "base/format.h"
#include "net/loop.h"
#include "net/server_state.h"

// The states of a connection. Only kHead may be idle; an arrow back to kHead goes to kFinishing instead if the
// connection ends after that request, if the server drains, or if the peer has closed its side.
//
//      ┌────────────────── dispatch ───────────────────┐
//      ▼                                               │
//    kHead ──► head accepted ──► kBody, kChunkedBody ──┤
//      │                              │ too large,     │
//      │                              ▼ no memory      │
//      ├─► head refused ──► kSkippedBody, kSkippedChunks (the answer is queued already)
//      │
//      ├─► the gate decides later ──► kAtGate ──► its verdict: kHead, where the head is accepted or refused
//      │
//      ▼ last request, malformed request, drain, end of input
//    kFinishing ──► all answers are written ──► kLingering ──► the peer closes, or time is up ──► kClosed
//
// kLingering exists because closing a socket with unread bytes resets the connection, and a reset may destroy an answer
// that the peer has not read yet. The writing side is independent (answer_queue.h): it writes the answers that are
// ready, in order, as far as the socket takes them. An error of the socket leads to kClosed from everywhere.

namespace mi::net {
namespace {

constexpr uint32_t kReadable = EPOLLIN;
constexpr uint32_t kWritable = EPOLLOUT;
constexpr uint32_t kHangUp = EPOLLRDHUP;
constexpr int kReadsPerTurn = 16;              // then the other connections have their turn
constexpr size_t kFirstBodyBytes = 1 << 20;    // room for a body when it begins to arrive
constexpr size_t kMinGrowthBytes = 16 << 10;   // by which the room of a body grows if it is slow or memory is short
constexpr size_t kShortAnswerBytes = 4 << 10;  // is sent even if no memory is left
constexpr std::chrono::seconds kLingerTimeout{2};

Response PlainError(int status, std::string text) {
  text.push_back('\n');
  return {.status = status, .body = std::move(text)};
}

// Whether a page of another site made a browser send this request, with the credentials that the browser keeps for us.
// Only what changes something matters. Older browsers say only where the page came from. Programs say neither.
bool IsForgery(const Request& request, Role role) {
  if (role != Role::kWrite && role != Role::kAdmin) return false;
  const std::string_view method = request.method();
  if (method == "GET" || method == "HEAD" || method == "OPTIONS") return false;
  if (const auto site = request.Header("Sec-Fetch-Site")) return *site != "same-origin" && *site != "none";
  const auto origin = request.Header("Origin");
  if (!origin) return false;
  const size_t host = origin->find("://");
  return host == std::string_view::npos || origin->substr(host + 3) != request.Header("Host");
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
      input_(loop.pool()),
      answers_(loop, id) {
  if (purpose_ == Purpose::kServe) {
    if (std::shared_ptr<const TlsContext> tls = *server_.tls.Get(); tls != nullptr) socket_.StartTls(std::move(tls));
  } else {
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
// (EPOLLOUT, if the answers or TLS are blocked), for an answer, a chunk or the gate's verdict (the mailbox), or for a
// time-out (the sweep). A turn costs one system call for epoll only if the interest changes.
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
  const TlsSession* const tls = socket_.tls();
  const bool waits_for_room = answers_.blocked_since() || (tls != nullptr && tls->wants_write());
  const uint32_t interest =
      (WantsInput() ? kReadable : 0) | (waits_for_room ? kWritable : 0) | (AwaitsHangUp() ? kHangUp : 0);
  if (interest != interest_) loop_.Watch(socket_.fd(), id_, interest_ = interest);
  // No event will announce what OpenSSL has read already.
  if (tls != nullptr && tls->may_have_more() && WantsInput()) return loop_.RunSoon(id_);
  // The last write may have made room for a request that has arrived already, which no event will announce.
  if (arriving_ == nullptr && !input_.empty() && MayTakeRequest()) loop_.RunSoon(id_);
}

void Connection::OnReady(uint32_t events) {
  // The peer has gone while its answer is being made: nobody would read it.
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && !WantsInput()) return Close();
  if ((events & kHangUp) != 0) answers_.Abandon();
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
  if (answers_.empty() && arriving_ == nullptr) return Close();
  Run();
}

// Gives back everything that the connection holds, at once; only the empty object lives until the end of the loop's
// turn. Closing the socket also removes it from epoll. A reply that comes later finds no connection with this id.
void Connection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  socket_.Close();
  answers_.Abandon();
  answers_.Clear();
  arriving_.reset();
  input_.Clear();
  server_.budget.GiveBack(std::exchange(held_, 0));
  if (purpose_ == Purpose::kServe) server_.CloseOne();
  loop_.Forget(id_);
}

// A connection waits for one thing at a time, in this order: for the end of a lingering connection, for the end of a
// handshake, for a peer that does not take its answers, for a request that arrives (since its first byte, so that
// single bytes do not prolong it), and for a request to begin. Nothing applies while it waits for a handler, which
// bounds its own time.
std::optional<Connection::Wait> Connection::wait() const {
  if (state_ == State::kClosed || running_) return std::nullopt;
  if (state_ == State::kLingering) return Wait{Wait::Kind::kLingering, lingering_since_};
  if (socket_.is_in_handshake()) return Wait{Wait::Kind::kHandshake, answers_.idle_since()};
  if (const auto since = answers_.blocked_since()) return Wait{Wait::Kind::kUnread, *since};
  if (arriving_ && WantsInput()) return Wait{Wait::Kind::kArriving, arriving_->since};
  if (!answers_.awaits_answer() && state_ == State::kHead) return Wait{Wait::Kind::kIdle, answers_.idle_since()};
  return std::nullopt;
}

void Connection::CheckTimeouts(TimePoint now) {
  const std::optional<Wait> waiting = wait();
  if (!waiting) return;
  const auto is_over = [&](std::chrono::milliseconds timeout) { return now - waiting->since > timeout; };
  switch (waiting->kind) {
    case Wait::Kind::kLingering: return is_over(kLingerTimeout) ? Close() : void();
    case Wait::Kind::kHandshake: return is_over(server_.options.read_timeout) ? Close() : void();
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
  input_.Clear();
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
bool Connection::MayTakeRequest() const { return state_ == State::kHead && answers_.has_room(); }

bool Connection::WantsInput() const {
  if (state_ == State::kClosed || state_ == State::kFinishing || state_ == State::kAtGate || peer_is_done_)
    return false;
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
  if (!input_.MakeRoom(server_.options.max_header_bytes)) {  // what has to be parsed in one piece is larger
    EndArriving(PlainError(431, "header (or the frame of a chunk) is too large"));
    return true;
  }
  return Receive(nullptr, 0, socket_is_empty) > 0;
}

// Fills the rest of a body, then the input: the next request often arrives with the end of this one. A body of a
// declared length thus goes from the kernel straight into its buffer; only what arrived with its head is copied.
size_t Connection::Receive(char* body, size_t room, bool& socket_is_empty) {
  const std::span<char> input_room = input_.room();
  const std::array<iovec, 2> parts = {iovec{body, room}, iovec{input_room.data(), input_room.size()}};
  const bool was_in_handshake = socket_.is_in_handshake();
  const ssize_t received = socket_.Read(parts);
  const bool has_failed = received < 0 && errno != EAGAIN && errno != EINTR;
  if (was_in_handshake) NoteHandshake(has_failed || received == 0);
  if (has_failed) Close();
  if (received < 0) return 0;
  if (received == 0) {
    OnEndOfInput();
    return 0;
  }
  const size_t got = static_cast<size_t>(received);
  if (got > room) input_.Grew(got - room);
  socket_is_empty = got < room + input_room.size();
  return got;
}

void Connection::NoteHandshake(bool has_failed) {
  if (has_failed) {
    ++server_.tls_failures;
    const std::string& fault = socket_.tls()->fault();
    server_.log.Debug("{}: TLS handshake failed: {}", peer_, fault.empty() ? "the peer has closed" : fault);
  } else if (!socket_.is_in_handshake()) {
    ++server_.tls_handshakes;
  }
}

// A connection that reads learns of the end of input by reading. One that reads nothing (its last request has arrived,
// or too many are in work) asks epoll, if a handler wants to know.
bool Connection::AwaitsHangUp() const { return !WantsInput() && !peer_is_done_ && answers_.may_be_abandoned(); }

// The peer sends no more. It may still read, but clients that give up a request look the same, so what takes long is
// abandoned, as Go's server does.
void Connection::OnEndOfInput() {
  peer_is_done_ = true;
  answers_.Abandon();
  switch (state_) {
    case State::kLingering: return Close();
    case State::kAtGate:
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

// What waits between two turns: unread input, the request that arrives, and answers that are not written. An idle plain
// connection holds nothing, and neither does one whose only request is with its handler.
size_t Connection::BytesToHold() const {
  if (state_ == State::kClosed) return 0;
  const size_t tls_bytes = socket_.tls() == nullptr ? 0 : socket_.tls()->held_bytes();
  return tls_bytes + input_.held_bytes() + (arriving_ ? sizeof(ArrivingRequest) + arriving_->parser.held_bytes() : 0) +
         answers_.held_bytes();
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
  if (input_.empty()) input_.Clear();
  if (arriving_ && server_.memory_is_short()) arriving_->body.Shrink();
  const size_t wanted = BytesToHold();
  if (wanted <= held_) {
    if (wanted < held_) server_.budget.GiveBack(held_ - wanted);
    held_ = wanted;
    return;
  }
  if (Hold(wanted - held_)) return;
  if (answers_.answer_bytes() > kShortAnswerBytes || socket_.is_in_handshake()) return Close();
  if (input_.empty() && arriving_ == nullptr) return;  // some words about requests that their handlers have
  input_.Clear();
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
      case State::kAtGate:
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
    while (!input_.empty() && (input_.view().front() == '\r' || input_.view().front() == '\n')) input_.Drop(1);
    if (input_.empty()) return Step::kNeedInput;
    arriving_ = std::make_unique<ArrivingRequest>(static_cast<uint32_t>(server_.options.max_header_bytes), loop_.pool(),
                                                  server_.budget);
  }
  const RequestParser::Step parsed = arriving_->parser.ParseHead(input_.view());
  input_.Drop(parsed.consumed);
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
  if (!input_.empty()) arriving_->continue_due = false;
  while (body.size() < arriving_->body_bytes && !input_.empty()) {
    if (body.room() == 0 && !GrowBody()) return Step::kAgain;
    const std::string_view part = input_.view().substr(0, body.room());
    body.Append(part);
    input_.Drop(part.size());
  }
  if (body.size() < arriving_->body_bytes) return Step::kNeedInput;
  Dispatch();
  return Step::kAgain;
}

Connection::Step Connection::ConsumeChunks() {
  if (!input_.empty()) arriving_->continue_due = false;
  std::string& piece = loop_.scratch();
  piece.clear();
  const RequestParser::Step parsed = arriving_->parser.ParseChunked(input_.view(), piece);
  input_.Drop(parsed.consumed);
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
  const size_t count = std::min<uint64_t>(input_.view().size(), arriving_->body_bytes - arriving_->skipped);
  input_.Drop(count);
  arriving_->skipped += count;
  if (arriving_->skipped < arriving_->body_bytes) return Step::kNeedInput;
  NextRequest(arriving_->is_last);
  return Step::kAgain;
}

Connection::Step Connection::ConsumeSkippedChunks() {
  std::string& piece = loop_.scratch();
  piece.clear();
  const RequestParser::Step parsed = arriving_->parser.ParseChunked(input_.view(), piece);
  input_.Drop(parsed.consumed);
  arriving_->skipped += piece.size();
  const bool is_over = arriving_->skipped > server_.options.max_discarded_bytes;
  if (parsed.outcome == RequestParser::Outcome::kNeedMore && !is_over) return Step::kNeedInput;
  NextRequest(is_over || arriving_->is_last || parsed.outcome != RequestParser::Outcome::kDone);
  return Step::kAgain;
}

Connection::Step Connection::DropLingering() {
  lingered_ += input_.view().size();
  input_.Drop(input_.view().size());
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
  if (socket_.tls() != nullptr) request.SetCertificateNames(socket_.tls()->certificate_names());
  arriving.is_last = !framing.keep_alive;
  arriving.body_bytes = framing.content_length.value_or(0);

  const std::optional<std::string_view> expect = framing.is_http10 ? std::nullopt : request.Header("Expect");
  const bool expects_continue = expect && EqualsIgnoringCase(*expect, "100-continue");
  arriving.continue_due = expects_continue && (framing.chunked || arriving.body_bytes > 0);
  if (expect && !expects_continue) return Refuse(PlainError(417, "the only expectation known is 100-continue"));

  arriving.endpoint = server_.router.Find(request.path());
  if (arriving.endpoint == nullptr) return Refuse(PlainError(404, "not found"));
  if (IsForgery(request, arriving.endpoint->role)) {
    return Refuse(PlainError(403, "pages of other sites must not send this request"));
  }
  server_.gate == nullptr ? TakeVerdict(std::shared_ptr<const Caller>()) : PassGate();
}

void Connection::PassGate() {
  auto later = [mailbox = loop_.mailbox(), connection = id_](Gate::Verdict verdict) {
    mailbox->Post([connection, verdict = std::move(verdict)](Loop& loop) mutable {
      loop.OnVerdict(connection, std::move(verdict));
    });
  };
  std::optional<Gate::Verdict> verdict =
      server_.gate->Check(arriving_->request(), arriving_->endpoint->role, std::move(later));
  if (verdict) return TakeVerdict(*std::move(verdict));
  state_ = State::kAtGate;
}

// At most one verdict is outstanding. A connection leaves kAtGate without it only to end, so no verdict meets another
// request.
void Connection::OnVerdict(Gate::Verdict verdict) {
  if (state_ != State::kAtGate) return;
  state_ = State::kHead;
  running_ = true;
  TakeVerdict(std::move(verdict));
  running_ = false;
  Run();
}

void Connection::TakeVerdict(Gate::Verdict verdict) {
  if (!verdict) return Refuse(std::move(verdict.error()));
  ArrivingRequest& arriving = *arriving_;
  arriving.caller = *std::move(verdict);
  Request& request = arriving.request();
  request.SetCaller(arriving.caller.get());
  if (!CallHandler([&] { arriving.decision = arriving.endpoint->handler->Head(request); })) {
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
  const bool is_uncertain = arriving.continue_due && state_ == State::kHead && input_.empty();
  arriving.skipped = chunked ? arriving.body_bytes : arriving.body.size();
  arriving.body.Clear();
  const uint64_t left = chunked ? 0 : arriving.body_bytes - arriving.skipped;
  const bool is_endless = is_uncertain || left > server_.options.max_discarded_bytes;
  arriving.is_last |= is_endless;
  arriving.continue_due = false;

  AnswerQueue::Exchange& exchange = Enqueue();
  answers_.SetAnswer(exchange, std::move(response));
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
  AnswerQueue::Exchange& exchange = Enqueue();
  exchange.closes = arriving.is_last;
  exchange.abandoned = std::move(arriving.decision.abandoned);
  exchange.holds_up_next |= arriving.decision.large_answer;
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

AnswerQueue::Exchange& Connection::Enqueue() {
  AnswerQueue::Exchange& exchange = answers_.Add();
  if (arriving_) {
    exchange.is_http10 = arriving_->request().framing().is_http10;
    exchange.holds_up_next = exchange.is_http10;  // its answer may have to end the connection
    exchange.is_head_only = arriving_->request().method() == "HEAD";
  }
  return exchange;
}

void Connection::EnqueueLast(Response response) {
  AnswerQueue::Exchange& exchange = Enqueue();
  answers_.SetAnswer(exchange, std::move(response));
  exchange.closes = true;
}

void Connection::Answer(uint32_t number, Response response) {
  AnswerQueue::Exchange* const exchange = answers_.Find(number);
  if (exchange == nullptr) return;
  if (response.body.size() > kShortAnswerBytes && !Hold(response.body.capacity())) response = OutOfBudget();
  answers_.SetAnswer(*exchange, std::move(response));
  if (!running_) loop_.RunSoon(id_);
}

void Connection::OnChunk(std::string chunk, std::function<void(std::string&)> next, bool failed) {
  if (failed) return Close();  // without the last chunk, so that the peer knows
  answers_.TakeChunk(std::move(chunk), std::move(next));
  Run();
}

// "100 Continue" is due only when no earlier answer is outstanding, because it would be taken for the answer to an
// earlier request.
void Connection::WriteAnswers() {
  if (state_ == State::kClosed) return;
  if (!answers_.Write(socket_, state_ == State::kFinishing)) return Close();
  if (answers_.ends_connection()) state_ = State::kFinishing;
  const bool awaits_body = state_ == State::kBody || state_ == State::kChunkedBody;
  if (awaits_body && !answers_.awaits_answer() && std::exchange(arriving_->continue_due, false)) {
    if (!answers_.WriteContinue(socket_)) return Close();
  }
  FinishWhenDone();
}

// Half-closes the socket, which delivers everything that was written, and then waits for the peer (kLingering). If the
// peer has closed its side already, nothing unread can follow, and the socket closes without a reset.
void Connection::FinishWhenDone() {
  if (state_ != State::kFinishing || !answers_.empty()) return;
  if (peer_is_done_) return Close();
  socket_.SayEnd();
  state_ = State::kLingering;
  lingering_since_ = std::chrono::steady_clock::now();
}

}  // namespace mi::net
