#include "net/wire.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/format.h"

namespace mi::net {
namespace {

using std::chrono::steady_clock;

class PlainWire final : public Wire {
 public:
  explicit PlainWire(WireSocket socket) : socket_(std::move(socket)) {}

  Status WriteAll(std::string_view head, std::string_view body, Deadline deadline) override {
    while (!head.empty() || !body.empty()) {
      std::array<iovec, 2> parts = {iovec{const_cast<char*>(head.data()), head.size()},
                                    iovec{const_cast<char*>(body.data()), body.size()}};
      msghdr message{};
      message.msg_iov = parts.data();
      message.msg_iovlen = parts.size();
      const ssize_t sent = sendmsg(socket_.fd(), &message, MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return socket_.Broken("write", std::strerror(errno));
        if (const Status ready = socket_.Await(POLLOUT, "write", deadline); !ready) return ready;
        continue;
      }
      const size_t of_head = std::min<size_t>(sent, head.size());
      head.remove_prefix(of_head);
      body.remove_prefix(sent - of_head);
    }
    return {};
  }

  Result<size_t> ReadSome(std::span<char> into, Deadline deadline) override {
    for (;;) {
      const ssize_t got = recv(socket_.fd(), into.data(), into.size(), 0);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return socket_.Broken("read", std::strerror(errno));
      if (const Status ready = socket_.Await(POLLIN, "read", deadline); !ready) return Fail(ready.error());
    }
  }

 private:
  const WireSocket socket_;
};

Status ConnectTo(const WireSocket& socket, const addrinfo& address, Deadline deadline) {
  if (socket.fd() < 0) return socket.Broken("connect to", std::strerror(errno));
  if (connect(socket.fd(), address.ai_addr, address.ai_addrlen) == 0) return {};
  if (errno != EINPROGRESS) return socket.Broken("connect to", std::strerror(errno));
  if (const Status ready = socket.Await(POLLOUT, "connect to", deadline); !ready) return ready;
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) return socket.Broken("connect to", std::strerror(error));
  return {};
}

}  // namespace

CancelSignal::CancelSignal() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (event_.get() < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

void CancelSignal::Raise() const { eventfd_write(event_.get(), 1); }

Status WireSocket::Await(short events, std::string_view doing, Deadline deadline) const {
  std::array<pollfd, 2> polled = {{{socket_.get(), events, 0}, {cancel_->fd(), POLLIN, 0}}};
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) return Broken(doing, "timed out");
    const int ready = poll(polled.data(), polled.size(), static_cast<int>(std::min<int64_t>(left.count(), 1 << 30)));
    if (polled[1].revents != 0) return Broken(doing, "cancelled");
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return Broken(doing, std::strerror(errno));
  }
}

std::unexpected<Error> WireSocket::Broken(std::string_view doing, std::string_view why) const {
  return Fail(Errc::kUnavailable, format("{} {}: {}", doing, peer_, why));
}

Result<std::unique_ptr<Wire>> Wire::Connect(const WireTarget& target, const CancelSignal& cancel, Deadline deadline) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(target.host.c_str(), target.port.c_str(), &hints, &found);
  if (error != 0) return Fail(Errc::kUnavailable, format("cannot resolve {}: {}", target.host, gai_strerror(error)));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  Status failed = Fail(Errc::kUnavailable, format("{} has no address", target.host));
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    WireSocket socket(FileDescriptor(::socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)), cancel,
                      format("{}:{}", target.host, target.port));
    failed = ConnectTo(socket, *at, deadline);
    if (!failed) continue;
    const int on = 1;
    setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (target.tls != nullptr) return ShakeHands(std::move(socket), target, deadline);
    return std::make_unique<PlainWire>(std::move(socket));
  }
  return Fail(failed.error());
}

}  // namespace mi::net
