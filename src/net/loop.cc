#include "net/loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <exception>
#include <future>

#include "net/connection.h"
#include "net/response_text.h"

namespace mi::net {
namespace {

using std::chrono::milliseconds;

constexpr int kAcceptsPerTurn = 64;
constexpr size_t kMaxRejectedOpen = 128;  // connections that are being told that there are too many
constexpr size_t kMaxSpareArrivals = 256;
constexpr size_t kMaxSpareBytes = 16 << 10;  // of one of them: larger heads are rare, and not worth keeping memory for
constexpr milliseconds kAcceptPause{100};

thread_local const Loop* current_loop = nullptr;

std::string PeerName(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text, sizeof text);
    return text;
  }
  const in6_addr& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&v6)) {
    inet_ntop(AF_INET, &v6.s6_addr[12], text, sizeof text);
  } else {
    inet_ntop(AF_INET6, &v6, text, sizeof text);
  }
  return text;
}

}  // namespace

void Mailbox::Post(std::move_only_function<void(Loop&)> task) {
  MutexLock lock(mutex_);
  if (loop_ == nullptr) return;
  boost::asio::post(loop_->context(), [loop = loop_, task = std::move(task)]() mutable { task(*loop); });
}

void Mailbox::Answer(uint64_t token, Response response) {
  if (identity_->IsCurrent()) return identity_->Answer(token, std::move(response));
  Post([token, response = std::move(response)](Loop& loop) mutable { loop.Answer(token, std::move(response)); });
}

void Mailbox::Close() {
  MutexLock lock(mutex_);
  loop_ = nullptr;
}

Loop::Loop(ServerState& state, FileDescriptor listener, bool ipv6)
    : state_(state),
      work_(context_.get_executor()),
      mailbox_(std::make_shared<Mailbox>(*this)),
      acceptor_(context_, ipv6 ? Tcp::v6() : Tcp::v4(), listener.release()),
      ipv6_(ipv6),
      sweep_timer_(context_),
      accept_timer_(context_) {}

Loop::~Loop() { Stop(); }

bool Loop::IsCurrent() const { return current_loop == this; }

void Loop::Start(std::span<const std::unique_ptr<Loop>> all) {
  all_ = all;
  AwaitConnection();
  AwaitSweep();
  thread_ = std::thread([this] {
    current_loop = this;
    Run();
  });
}

// What has no memory fails alone: a thread that ended would take all of its connections with it, or the process.
void Loop::Run() {
  for (;;) {
    try {
      context_.run();
      return;
    } catch (const std::exception& fault) {
      state_.log.Error("a thread of the server goes on after: {}", fault.what());
    }
  }
}

void Loop::Drain() {
  if (!thread_.joinable()) return;
  std::promise<void> begun;
  mailbox_->Post([&begun](Loop& loop) {
    loop.AcceptPending();
    loop.CloseListener();
    loop.draining_ = true;
    for (size_t i = loop.connections_.size(); i-- > 0;) loop.connections_[i]->BeginDrain();
    begun.set_value();
  });
  begun.get_future().wait();
}

void Loop::CutAll() {
  mailbox_->Post([](Loop& loop) {
    for (size_t i = loop.connections_.size(); i-- > 0;) loop.connections_[i]->Close();
  });
}

void Loop::Stop() {
  mailbox_->Post([](Loop& loop) {
    loop.draining_ = loop.stopping_ = true;
    loop.CloseListener();
    loop.sweep_timer_.cancel();
    loop.work_.reset();
    for (size_t i = loop.connections_.size(); i-- > 0;) loop.connections_[i]->Close();
  });
  if (!thread_.joinable()) {
    Run();  // never started: nobody else will
  } else {
    thread_.join();
  }
  mailbox_->Close();
  // What was posted between the end of the thread and the closing of the mailbox.
  context_.restart();
  context_.poll();
}

void Loop::CloseListener() {
  boost::system::error_code ignored;
  (void)acceptor_.close(ignored);
  accept_timer_.cancel();
}

void Loop::AwaitConnection() {
  acceptor_.async_wait(Tcp::acceptor::wait_read, [this](const boost::system::error_code& error) {
    if (error || !acceptor_.is_open()) return;
    AcceptPending();
  });
}

void Loop::AcceptPending() {
  for (int i = 0; i < kAcceptsPerTurn && acceptor_.is_open(); ++i) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    FileDescriptor socket(accept4(acceptor_.native_handle(), reinterpret_cast<sockaddr*>(&address), &length,
                                  SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.get() >= 0) {
      try {
        Place(std::move(socket), PeerName(address));
      } catch (const std::bad_alloc&) {
        return AcceptFailed(ENOMEM);
      }
    } else if (errno == EAGAIN) {
      break;
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return AcceptFailed(errno);
    }
    // Everything else is the fate of one connection that is gone already (accept(2)): on to the next.
  }
  if (acceptor_.is_open() && !draining_) AwaitConnection();
}

// Without a descriptor to spare the backlog stays readable: trying at once would burn the processor.
void Loop::AcceptFailed(Errno error) {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_accept_warning_ > std::chrono::seconds(10)) {
    last_accept_warning_ = now;
    state_.log.Warn(
        "cannot accept connections: {}; trying on (the limit of open files is ulimit -n, {} connections are open)",
        std::strerror(error), state_.open_connections.load());
  }
  accept_timer_.expires_after(kAcceptPause);
  accept_timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (!cancelled && acceptor_.is_open()) AcceptPending();
  });
}

// The kernel spreads connections by hash, which is uneven where a few busy senders are all there is.
void Loop::Place(FileDescriptor socket, std::string peer) {
  const bool rejected = !state_.TryOpenOne();
  if (rejected) ++state_.rejected_connections;
  Loop* least = this;
  for (const auto& loop : all_) {
    if (loop->connection_count() < least->connection_count()) least = loop.get();
  }
  if (least == this || rejected) return Adopt(std::move(socket), std::move(peer), rejected);
  ++least->connection_count_;  // at once, so that a burst is spread too
  try {
    least->mailbox_->Post([socket = std::move(socket), peer = std::move(peer)](Loop& loop) mutable {
      --loop.connection_count_;
      loop.Adopt(std::move(socket), std::move(peer), false);
    });
  } catch (...) {
    --least->connection_count_;
    state_.CloseOne();
    throw;
  }
}

void Loop::Adopt(FileDescriptor socket, std::string peer, bool rejected) {
  if (rejected && rejected_open_ >= kMaxRejectedOpen) return;
  const int on = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  std::unique_ptr<Connection> made;
  try {
    Tcp::socket stream(context_, ipv6_ ? Tcp::v6() : Tcp::v4(), socket.release());
    made = std::make_unique<Connection>(*this, std::move(stream), std::move(peer),
                                        rejected ? Connection::Purpose::kReject : Connection::Purpose::kServe);
  } catch (...) {
    if (!rejected) state_.CloseOne();
    throw;
  }
  connections_.push_back(std::move(made));
  rejected_open_ += rejected;
  ++connection_count_;
  Connection& connection = *connections_.back();
  connection.set_index(connections_.size() - 1);
  connection.Start(draining_ ? Connection::Begin::kLastCall : Connection::Begin::kOpen);
}

void Loop::Remove(Connection& connection) {
  const size_t index = connection.index();
  if (connection.purpose() == Connection::Purpose::kReject) --rejected_open_;
  std::swap(connections_[index], connections_.back());
  connections_[index]->set_index(index);
  connections_.pop_back();
  --connection_count_;
}

// A fourth of the shortest timeout is precise enough, and one pass costs less than a timer for each connection.
void Loop::AwaitSweep() {
  const ServerOptions& options = state_.options;
  const milliseconds shortest = std::min({options.read_timeout, options.write_timeout, state_.idle_timeout.load()});
  sweep_timer_.expires_after(std::clamp(shortest / 4, milliseconds(5), milliseconds(500)));
  sweep_timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled || stopping_) return;  // an expired timer can no longer be cancelled
    AwaitSweep();                        // first: whatever happens to a connection, the next pass comes
    const auto now = std::chrono::steady_clock::now();
    for (size_t i = connections_.size(); i-- > 0;) connections_[i]->CheckTimeouts(now);
  });
}

void Loop::Answer(uint64_t token, Response response) {
  Exchange* const exchange = exchanges_.Find(token);
  if (exchange == nullptr) return;  // the peer has gone
  exchange->response = std::move(response);
  exchange->ready = true;
  --state_.in_flight;
  exchange->connection->OnAnswer();
}

void Loop::OnChunk(uint64_t token, std::string chunk, std::function<void(std::string&)> next, bool failed) {
  Exchange* const exchange = exchanges_.Find(token);
  if (exchange != nullptr) return exchange->connection->OnChunk(std::move(chunk), std::move(next), failed);
  // The peer has gone. What the answer was made from may be large: not for this thread to take apart.
  if (next) state_.workers.Run([unused = std::move(next)] {});
}

std::unique_ptr<ArrivingRequest> Loop::NewArrival() {
  if (spare_arrivals_.empty()) return std::make_unique<ArrivingRequest>(pool_, state_.budget);
  std::unique_ptr<ArrivingRequest> arrival = std::move(spare_arrivals_.back());
  spare_arrivals_.pop_back();
  return arrival;
}

void Loop::EndArrival(std::unique_ptr<ArrivingRequest> arrival) {
  arrival->body.Clear();
  arrival->decision = {};
  arrival->body_bytes = arrival->skipped = 0;
  arrival->continue_due = arrival->last = false;
  const bool small = arrival->held_bytes() <= kMaxSpareBytes;
  if (small && spare_arrivals_.size() < kMaxSpareArrivals) spare_arrivals_.push_back(std::move(arrival));
}

std::string_view Loop::HttpDate() {
  const int64_t now = std::time(nullptr);
  if (now != date_second_) {
    date_second_ = now;
    date_ = FormatHttpDate(now);
  }
  return date_;
}

}  // namespace mi::net
