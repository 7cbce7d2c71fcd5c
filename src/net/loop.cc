#include "net/loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <future>
#include <system_error>
#include <tuple>
#include <utility>

#include "base/time_text.h"
#include "net/response_text.h"
#include "net/server_state.h"

// Each turn of the loop waits for events, lets the connections that have some do what they can without waiting, runs
// posted tasks, and destroys the connections that have closed. Nothing is destroyed earlier, so that a connection never
// disappears under a function that is using it.
//
// epoll is level-triggered: a connection that reads only a part is reported again, so fairness needs no bookkeeping. An
// event carries the connection's id, not its address: an event for a connection that has gone finds nothing.

namespace mi::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr uint64_t kMailboxKey = 0;
constexpr uint64_t kListenerKey = 1;
constexpr uint32_t kFirstId = 2;

constexpr int kEventsPerTurn = 256;
constexpr int kAcceptsPerTurn = 64;
constexpr size_t kMaxRejectedOpen = 128;  // connections that are being told that there are too many
constexpr milliseconds kAcceptPause{100};
constexpr std::string_view kNobody;            // no address: nobody in particular needs room
constexpr milliseconds kBetweenSearches{100};  // that find nothing
constexpr std::chrono::seconds kBetweenTrims{5};
constexpr size_t kClosedPerSearch = 64;  // one of this many connections is closed when too many are open
constexpr std::chrono::seconds kBetweenWarnings{10};

thread_local Loop* current_loop = nullptr;

FileDescriptor Checked(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return FileDescriptor(fd);
}

// Of the free blocks of one loop. The budget does not count them, so all loops together keep a small part of it.
size_t KeptBytes(const ServerState& server) {
  constexpr uint64_t kMost = 64 << 20;
  return std::min(kMost, server.budget.limit() / 8 / std::max<uint64_t>(1, server.options.threads));
}

FileDescriptor SpareDescriptor() { return FileDescriptor(eventfd(0, EFD_CLOEXEC)); }

// Returns false, with errno, if the kernel has no room for one more descriptor.
bool Control(int epoll, int operation, int fd, uint64_t key, uint32_t events) {
  epoll_event event{.events = events, .data = {.u64 = key}};
  return epoll_ctl(epoll, operation, fd, &event) == 0;
}

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

Mailbox::Mailbox() : wakeup_(Checked(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd")) {}

// A post writes to the eventfd only if the list was empty, so a burst of posts costs one system call. No wake-up is
// lost: TakeAll() first resets the eventfd and then empties the list. A task that is posted before the list is emptied
// is taken with it. A task that is posted afterwards finds the list empty, and writes again. The price is a turn that
// finds nothing, if the write comes after its task was taken.
void Mailbox::Post(Task task) {
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    tasks_.push_back(std::move(task));
    if (tasks_.size() > 1) return;  // the loop has been woken up already
  }
  eventfd_write(wakeup_.get(), 1);
}

void Mailbox::Answer(uint32_t connection, uint32_t number, Response response) {
  if (current_loop != nullptr && current_loop->mailbox().get() == this) {
    return current_loop->Answer(connection, number, std::move(response));
  }
  Post([connection, number, response = std::move(response)](Loop& loop) mutable {
    loop.Answer(connection, number, std::move(response));
  });
}

std::vector<Mailbox::Task> Mailbox::TakeAll() {
  eventfd_t ignored = 0;
  eventfd_read(wakeup_.get(), &ignored);
  MutexLock lock(mutex_);
  return std::exchange(tasks_, {});
}

void Mailbox::Close() {
  std::vector<Task> dropped;  // destroyed after the lock is released: what a task holds may post again
  MutexLock lock(mutex_);
  closed_ = true;
  dropped.swap(tasks_);
}

Loop::Loop(ServerState& server, FileDescriptor listener)
    : server_(server),
      epoll_(Checked(epoll_create1(EPOLL_CLOEXEC), "epoll")),
      listener_(std::move(listener)),
      mailbox_(std::make_shared<Mailbox>()),
      spare_(SpareDescriptor()),
      pool_(KeptBytes(server)) {
  for (const auto& [fd, key] : {std::pair(mailbox_->fd(), kMailboxKey), std::pair(listener_.get(), kListenerKey)}) {
    if (Control(epoll_.get(), EPOLL_CTL_ADD, fd, key, EPOLLIN)) continue;
    throw std::system_error(errno, std::generic_category(), "epoll");
  }
}

Loop::~Loop() { Stop(); }

void Loop::Start(std::span<const std::unique_ptr<Loop>> all) {
  all_ = all;
  thread_ = std::thread([this] {
    current_loop = this;
    Run();
  });
}

// The task runs on the loop's thread, so no connection is accepted between its steps. Accepting comes first: a
// connection in the backlog is established for its peer, and closing the listener would reset it. At most
// kAcceptsPerTurn are taken. The caller waits, so when all loops have been drained, each connection that one loop
// handed to another is in that loop's mailbox, before any later CutAll().
void Loop::Drain() {
  if (!thread_.joinable()) return;
  std::promise<void> begun;
  mailbox_->Post([&begun](Loop& loop) {
    loop.AcceptPending();
    loop.listener_.reset();
    loop.draining_ = true;
    for (const auto& [id, connection] : loop.connections_) connection->BeginDrain();
    begun.set_value();
  });
  begun.get_future().wait();
}

void Loop::CutAll() {
  mailbox_->Post([](Loop& loop) {
    for (const auto& [id, connection] : loop.connections_) connection->Close();
  });
}

// Ends the thread first. After that nobody else uses the connections, and this thread may destroy them. The mailbox
// closes in between, so a reply that comes later is dropped. Works also for a loop that was never started.
void Loop::Stop() {
  mailbox_->Post([](Loop& loop) { loop.stopping_ = true; });
  if (thread_.joinable()) thread_.join();
  mailbox_->Close();
  connections_.clear();
}

void Loop::Run() {
  std::array<epoll_event, kEventsPerTurn> events;
  while (!stopping_) {
    const int count = epoll_wait(epoll_.get(), events.data(), events.size(), WaitMs(steady_clock::now()));
    for (int i = 0; i < count; ++i) {
      const uint64_t key = events[i].data.u64;
      if (key == kMailboxKey) continue;  // looked at in every turn
      if (key == kListenerKey) {
        AcceptPending();
      } else if (Connection* const connection = Find(static_cast<uint32_t>(key))) {
        connection->OnReady(events[i].events);
      }
    }
    RunTasks();
    RunDue();
    Sweep(steady_clock::now());
    DestroyClosed();
  }
}

// How long epoll may wait: not at all if connections are due, else until the next sweep or the end of an accept pause.
int Loop::WaitMs(TimePoint now) const {
  if (!due_.empty()) return 0;
  const TimePoint next = accepting_again_ ? std::min(next_sweep_, *accepting_again_) : next_sweep_;
  return static_cast<int>(std::max<int64_t>(0, std::chrono::ceil<milliseconds>(next - now).count()));
}

void Loop::RunTasks() {
  for (Mailbox::Task& task : mailbox_->TakeAll()) task(*this);
}

// One round only: handlers that run here may make further connections due.
void Loop::RunDue() {
  for (const uint32_t id : std::exchange(due_, {})) {
    if (Connection* const connection = Find(id)) connection->Run();
  }
}

// Checks all connections at a fourth of the shortest time-out. That is precise enough, and one pass costs less than a
// timer for each connection.
void Loop::Sweep(TimePoint now) {
  if (accepting_again_ && now >= *accepting_again_) {
    accepting_again_.reset();
    ListenTo(EPOLLIN);
  }
  if (now < next_sweep_) return;
  const ServerOptions& options = server_.options;
  const milliseconds shortest = std::min({options.read_timeout, options.write_timeout, server_.idle_timeout.load()});
  next_sweep_ = now + std::clamp(shortest / 4, milliseconds(5), milliseconds(500));
  for (const auto& [id, connection] : connections_) {
    connection->CheckTimeouts(now);
    connection->ShrinkBody();
  }
  MakeRoom(0, kNobody);
  if (now < next_trim_) return;
  next_trim_ = now + kBetweenTrims;
  pool_.Trim();
}

// The connections that have waited for their peers for at least slow_after, in the order in which they give way: first
// those of an address that has more than half of everything (by `weight`: of memory, or one per connection), then those
// that are idle, then by time. Time is a fair measure of slowness: what may arrive or wait is bounded, so that a peer
// of common speed is done long before slow_after.
//
// An address with more than half gives way to other addresses at once, and to itself only what is slow. So it cannot
// lock out others, however fast it sends, and a proxy that carries a whole fleet loses only its slowest connections.
//
// Each loop looks at its own connections only: they are spread evenly (Place).
std::vector<Loop::SlowConnection> Loop::FindSlow(const std::function<size_t(const Connection&)>& weight,
                                                 std::string_view for_peer) const {
  std::unordered_map<std::string_view, size_t> weights;
  size_t total = 0;
  for (const auto& [id, connection] : connections_) {
    const size_t one = weight(*connection);
    if (one == 0) continue;
    weights[connection->peer()] += one;
    total += one;
  }
  std::vector<SlowConnection> slow;
  const TimePoint latest = steady_clock::now() - server_.options.slow_after;
  for (const auto& [id, connection] : connections_) {
    const std::optional<Connection::Wait> wait = connection->wait();
    if (!wait || weight(*connection) == 0) continue;
    const bool over_share = weights[connection->peer()] > total / 2;
    const bool at_once = over_share && for_peer != kNobody && for_peer != connection->peer();
    if (at_once || wait->since <= latest) slow.push_back({connection.get(), *wait, over_share});
  }
  std::ranges::sort(slow, {}, [](const SlowConnection& one) {
    return std::tuple(!one.over_share, one.wait.kind != Connection::Wait::Kind::kIdle, one.wait.since);
  });
  return slow;
}

// A search that does not free enough is in vain until something changes, but only for its address: what an address with
// more than half holds gives way to others at once. At most one address holds so much. So once a search for a second
// address has failed too, another one for whoever asks would find nothing.
void Loop::VainSearches::Note(TimePoint now, std::string_view for_peer) {
  if (now < until_) {
    peer_.reset();
  } else {
    until_ = now + kBetweenSearches;
    peer_ = for_peer;
  }
}

// First bodies give back the room into which nothing has arrived. Then slow connections give up what they hold, until a
// sixteenth of the budget is free beyond what is comfortable, so that one search serves many requests. The searches of
// Sweep() are rare, and set no pause.
void Loop::MakeRoom(size_t bytes, std::string_view for_peer) {
  const uint64_t limit = server_.budget.limit();
  if (bytes > limit) return;
  const uint64_t most = std::min(server_.comfortable_bytes(), limit - bytes);
  if (server_.budget.used() <= most) return;
  const TimePoint now = steady_clock::now();
  if (room_searches_.Covers(now, for_peer)) return;
  ++server_.room_searches;
  for (const auto& [id, connection] : connections_) connection->ShrinkBody();
  if (server_.budget.used() <= most) return;
  const uint64_t goal = most - std::min(most, limit / 16);
  for (const SlowConnection& slow : FindSlow(&Connection::held_bytes, for_peer)) {
    if (server_.budget.used() <= goal) return;
    slow.connection->GiveUp();
    ++server_.given_up;
  }
  if (for_peer != kNobody) room_searches_.Note(now, for_peer);
}

// Closes some of the connections that wait for their peers, so that one search serves many new connections. Returns
// false if there is none.
bool Loop::CloseSlow(std::string_view for_peer) {
  const TimePoint now = steady_clock::now();
  if (place_searches_.Covers(now, for_peer)) return false;
  ++server_.place_searches;
  const std::vector<SlowConnection> slow = FindSlow([](const Connection&) { return size_t{1}; }, for_peer);
  const size_t count = std::min(slow.size(), 1 + connections_.size() / kClosedPerSearch);
  for (size_t i = 0; i < count; ++i) slow[i].connection->Close();
  server_.given_up += count;
  if (count == 0) place_searches_.Note(now, for_peer);
  return count > 0;
}

// Whether a new connection of this address may take the place of a slow one.
bool Loop::MayReplace(const std::string& peer) const {
  const auto found = served_.find(peer);
  return found == served_.end() || found->second <= connections_.size() / 2;
}

void Loop::DestroyClosed() {
  for (const uint32_t id : std::exchange(closed_, {})) {
    const auto found = connections_.find(id);
    if (found->second->purpose() == Connection::Purpose::kReject) {
      --rejected_open_;
    } else if (const auto served = served_.find(found->second->peer()); --served->second == 0) {
      served_.erase(served);
    }
    connections_.erase(found);
    --connection_count_;
  }
}

Connection* Loop::Find(uint32_t connection) const {
  const auto found = connections_.find(connection);
  return found == connections_.end() || found->second->is_closed() ? nullptr : found->second.get();
}

void Loop::Watch(int socket, uint32_t connection, uint32_t events) {
  Control(epoll_.get(), EPOLL_CTL_MOD, socket, connection, events);
}

void Loop::ListenTo(uint32_t events) {
  if (listener_.valid()) Control(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), kListenerKey, events);
}

void Loop::AcceptPending() {
  for (int i = 0; i < kAcceptsPerTurn && listener_.valid(); ++i) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    FileDescriptor socket(
        accept4(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.valid()) {
      Place(std::move(socket), PeerName(address));
    } else if (errno == EAGAIN) {
      return;
    } else if (errno == EMFILE || errno == ENFILE) {
      WarnOfAccepting(errno);
      if (!CloseSlow(kNobody) && !AcceptAndRefuse()) return PauseAccepting(EMFILE);
    } else if (errno == ENOBUFS || errno == ENOMEM) {
      return PauseAccepting(errno);
    }
    // Every other error is about one connection that is gone already (accept(2)).
  }
}

// No descriptor is free. The spare one makes it possible to answer: without it the peer would wait in the backlog, and
// not even learn that there is a problem. Reading first matters: closing a socket with unread bytes would reset the
// connection, which may destroy the answer. Returns false if nothing was accepted.
bool Loop::AcceptAndRefuse() {
  spare_.reset();
  {
    const FileDescriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.valid()) return false;
    ++server_.rejected_connections;
    const Response busy{.status = 503,
                        .body = "no file descriptor is free (ulimit -n); try again\n",
                        .headers = {{"Retry-After", "5"}}};
    std::string text;
    AppendResponseHead(busy, {.persistence = Persistence::kClose, .common = Headers()}, text);
    text += busy.body;
    std::array<char, 16 << 10> dropped;
    recv(socket.get(), dropped.data(), dropped.size(), 0);
    if (!server_.speaks_tls()) send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
    shutdown(socket.get(), SHUT_WR);
    recv(socket.get(), dropped.data(), dropped.size(), 0);
  }
  spare_ = SpareDescriptor();
  return spare_.valid();
}

void Loop::WarnOfAccepting(int error) {
  const auto now = steady_clock::now();
  if (now - last_accept_warning_ <= kBetweenWarnings) return;
  last_accept_warning_ = now;
  server_.log.Warn("cannot accept connections: {} (the limit of open files is ulimit -n, {} connections are open)",
                   std::strerror(error), server_.open_connections.load());
}

// While nothing can be accepted, the backlog stays readable, and the loop would spin.
void Loop::PauseAccepting(int error) {
  WarnOfAccepting(error);
  if (!spare_.valid()) spare_ = SpareDescriptor();
  accepting_again_ = steady_clock::now() + kAcceptPause;
  ListenTo(0);
}

// If too many connections are open, the new one takes the place of one that is idle or slow, unless its address has
// more than half of them already.
//
// Gives the connection to the loop that has the fewest. The kernel spreads connections by hash, which is uneven if
// there are only a few busy senders. The counts of other loops may change while they are compared: a wrong choice costs
// only balance. The socket moves before anything was read from it, so a connection lives on one thread from its first
// byte.
void Loop::Place(FileDescriptor socket, std::string peer) {
  if (!server_.TryOpenOne() && !(MayReplace(peer) && CloseSlow(peer) && server_.TryOpenOne())) {
    ++server_.rejected_connections;
    if (server_.speaks_tls()) return;  // an answer would cost a handshake
    return Adopt(std::move(socket), std::move(peer), Connection::Purpose::kReject);
  }
  Loop* least = this;
  for (const auto& loop : all_) {
    if (loop->connection_count() < least->connection_count()) least = loop.get();
  }
  if (least == this) return Adopt(std::move(socket), std::move(peer), Connection::Purpose::kServe);
  ++least->connection_count_;  // at once, so that a burst is spread too
  least->mailbox_->Post([socket = std::move(socket), peer = std::move(peer)](Loop& loop) mutable {
    --loop.connection_count_;
    loop.Adopt(std::move(socket), std::move(peer), Connection::Purpose::kServe);
  });
}

void Loop::Adopt(FileDescriptor socket, std::string peer, Connection::Purpose purpose) {
  if (purpose == Connection::Purpose::kReject && rejected_open_ >= kMaxRejectedOpen) return;
  const int on = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  do {
    ++last_id_;
  } while (last_id_ < kFirstId || connections_.contains(last_id_));
  const uint32_t id = last_id_;
  if (!Control(epoll_.get(), EPOLL_CTL_ADD, socket.get(), id, EPOLLIN)) {
    const int error = errno;
    if (purpose == Connection::Purpose::kServe) server_.CloseOne();
    return PauseAccepting(error);
  }
  auto made = std::make_unique<Connection>(*this, std::move(socket), id, std::move(peer), purpose);
  Connection& connection = *connections_.emplace(id, std::move(made)).first->second;
  purpose == Connection::Purpose::kReject ? ++rejected_open_ : ++served_[connection.peer()];
  ++connection_count_;
  draining_ ? connection.BeginDrain() : connection.Run();
}

void Loop::Answer(uint32_t connection, uint32_t number, Response response) {
  if (Connection* const found = Find(connection)) found->Answer(number, std::move(response));
}

void Loop::OnChunk(uint32_t connection, std::string chunk, std::function<void(std::string&)> next, bool failed) {
  Connection* const found = Find(connection);
  if (found != nullptr) return found->OnChunk(std::move(chunk), std::move(next), failed);
  // The peer has gone. What the answer is made from may be large: a worker destroys it.
  if (next) server_.workers.Run([unused = std::move(next)] {});
}

void Loop::OnVerdict(uint32_t connection, Gate::Verdict verdict) {
  if (Connection* const found = Find(connection)) found->OnVerdict(std::move(verdict));
}

CommonHeaders Loop::Headers() {
  const int64_t now = std::time(nullptr);
  if (now != date_second_) {
    date_second_ = now;
    date_ = FormatHttpDate(now);
    added_headers_ = server_.headers.Get();
  }
  return {.date = date_, .added = *added_headers_};
}

}  // namespace mi::net
