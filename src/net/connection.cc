#include "net/connection.h"

#include <boost/asio/post.hpp>
#include <exception>

namespace mi::net {
namespace {

using std::chrono::steady_clock;

constexpr int kReadsPerTurn = 16;  // then other connections have their turn
constexpr std::chrono::seconds kLingerTimeout{2};

}  // namespace

Connection::Connection(Loop& loop, Tcp::socket socket, std::string peer, Purpose purpose)
    : loop_(loop),
      state_(loop.state()),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      purpose_(purpose),
      idle_since_(steady_clock::now()) {
  boost::system::error_code ignored;
  (void)socket_.non_blocking(true, ignored);
}

Connection::~Connection() { Shut(); }

void Connection::Start(Begin begin) {
  last_call_ = begin == Begin::kLastCall;
  if (purpose_ == Purpose::kReject) {
    const std::string body = mi::format("{} connections are open, limit {} (receive.max_connections)\n",
                                        state_.open_connections.load(), state_.max_connections.load());
    Exchange& exchange = Enqueue();
    exchange.response = {.status = 503, .body = body, .headers = {{"Retry-After", "5"}}};
    exchange.close = exchange.ready = true;
    phase_ = Phase::kStopped;
    linger_ = true;
  }
  Pump();
}

void Connection::OnAnswer() {
  // Called from inside of a handler: whoever is pumping goes on with it. Called from a handler of another connection:
  // one connection's work must not nest in another's.
  if (busy_) return;
  Yield();
}

void Connection::Pump() {
  busy_ = true;
  try {
    TakeTurn();
  } catch (const std::exception& fault) {
    // No memory, most likely. This connection ends, the others go on.
    Shut();
    busy_ = false;
    state_.log.Error("a connection of {} ended: {}", peer_, fault.what());
  }
  busy_ = false;
  EndIfClosed();
}

void Connection::TakeTurn() {
  state_.budget.GiveBack(std::exchange(input_held_, 0));
  ReadAndDispatch();
  if (last_call_) draining_ = true;
  if (draining_ && phase_ == Phase::kHead && !arriving_) phase_ = Phase::kStopped;
  if (!closed_) WriteAnswers();
  if (!closed_) HoldInput();
  if (WantsInput() && !yielded_) AwaitReadable();
}

void Connection::ReadAndDispatch() {
  socket_drained_ = false;
  for (int reads = 0; !closed_;) {
    const Step step = Consume();
    if (closed_) return;
    if (step == Step::kBlocked) {
      WriteAnswers();
      if (closed_ || !MayTakeRequest()) return;
      continue;
    }
    if (!WantsInput() || socket_drained_) return;
    if (reads++ == kReadsPerTurn) return Yield();
    if (!Read()) return;
  }
}

void Connection::HoldInput() {
  if (input_begin_ == input_end_) {
    loop_.pool().Return(std::exchange(input_, {}));
    input_begin_ = input_end_ = 0;
  } else if (state_.budget.TryTake(input_.capacity)) {
    input_held_ = input_.capacity;
  } else {
    RefuseInput();
  }
}

// There is no memory to keep what has come in. The answers before it are due all the same.
void Connection::RefuseInput() {
  loop_.pool().Return(std::exchange(input_, {}));
  input_begin_ = input_end_ = 0;
  if (phase_ == Phase::kStopped) return;  // nobody would have read it
  if (phase_ != Phase::kSkipChunked) {    // that one is answered already
    Exchange& exchange = Enqueue();
    exchange.response = NoMemory();
    exchange.ready = exchange.close = true;
  }
  NextRequest(true);
  WriteAnswers();
}

void Connection::AwaitReadable() {
  if (await_readable_) return;
  socket_.async_wait(Tcp::socket::wait_read, [this](const boost::system::error_code&) {
    --waits_;
    await_readable_ = false;
    if (!EndIfClosed()) Pump();
  });
  await_readable_ = true;
  ++waits_;
}

void Connection::AwaitWritable() {
  if (await_writable_) return;
  socket_.async_wait(Tcp::socket::wait_write, [this](const boost::system::error_code&) {
    --waits_;
    await_writable_ = false;
    if (!EndIfClosed()) Pump();
  });
  await_writable_ = true;
  ++waits_;
}

void Connection::Yield() {
  if (yielded_) return;
  boost::asio::post(loop_.context(), [this] {
    --waits_;
    yielded_ = false;
    if (!EndIfClosed()) Pump();
  });
  yielded_ = true;
  ++waits_;
}

void Connection::Close() {
  Shut();
  EndIfClosed();
}

void Connection::Shut() {
  if (std::exchange(closed_, true)) return;
  boost::system::error_code ignored;
  (void)socket_.close(ignored);
  while (first_ != nullptr) PopFront();
  output_.Clear();
  if (arriving_) loop_.EndArrival(std::move(arriving_));
  state_.budget.GiveBack(std::exchange(input_held_, 0));
  loop_.pool().Return(std::exchange(input_, {}));
  input_begin_ = input_end_ = 0;
  if (purpose_ == Purpose::kServe) state_.CloseOne();
}

// True when there is nothing more to do with this object, which may be gone then.
bool Connection::EndIfClosed() {
  if (!closed_) return false;
  if (waits_ == 0 && !busy_) loop_.Remove(*this);
  return true;
}

void Connection::BeginDrain() {
  if (closed_) return;
  if (purpose_ == Purpose::kReject || phase_ == Phase::kLinger) return Close();
  last_call_ = true;
  Pump();
}

void Connection::CheckTimeouts(TimePoint now) {
  if (closed_) return;
  const ServerOptions& options = state_.options;
  if (phase_ == Phase::kLinger) {
    if (now - idle_since_ > kLingerTimeout) Close();
  } else if (write_blocked_) {
    if (now - blocked_since_ > options.write_timeout) Close();
  } else if (arriving_ && WantsInput()) {
    if (now - arriving_->since <= options.read_timeout) return;
    if (phase_ == Phase::kSkip || phase_ == Phase::kSkipChunked) {
      NextRequest(true);  // answered already
    } else {
      Abort(408, "the request took too long to arrive");
    }
    Pump();
  } else if (first_ == nullptr && phase_ == Phase::kHead) {
    if (now - idle_since_ > state_.idle_timeout.load()) Close();
  }
}

}  // namespace mi::net
