#include "net/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

#include "base/format.h"

namespace mi::net {
namespace {

constexpr int kBacklog = 4096;  // the kernel cuts it to net.core.somaxconn
// Of one connection, beyond what is on its way to the peer. So a slow reader costs little memory, and its progress is
// seen in small steps.
constexpr int kMaxUnsentInKernel = 128 << 10;

struct Candidate {
  sockaddr_storage address{};
  socklen_t length = 0;
  bool dual_stack = false;
};

// A name is tried as IPv4 first, which people expect of "localhost". All addresses are tried as IPv6 first, because
// that socket serves IPv4 as well.
Result<std::vector<Candidate>> Resolve(const ListenAddress& listen) {
  const bool is_any = listen.host.empty();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(is_any ? nullptr : listen.host.c_str(), std::to_string(listen.port).c_str(), &hints, &found);
  if (error != 0) return Fail(Errc::kUnavailable, format("cannot resolve {}: {}", listen.host, gai_strerror(error)));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  std::vector<Candidate> candidates;
  for (const int family : {is_any ? AF_INET6 : AF_INET, is_any ? AF_INET : AF_INET6}) {
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
      if (at->ai_family != family) continue;
      Candidate& candidate = candidates.emplace_back();
      candidate.dual_stack = is_any;
      std::memcpy(&candidate.address, at->ai_addr, at->ai_addrlen);
      candidate.length = at->ai_addrlen;
    }
  }
  return candidates;
}

enum class Sharing { kExclusive, kShared };

// Returns an invalid descriptor, with errno, on failure.
FileDescriptor Open(const Candidate& candidate, Sharing sharing) {
  const int family = candidate.address.ss_family;
  FileDescriptor socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return socket;
  // Connections inherit it. Where it is missing, the kernel keeps more for a slow reader.
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kMaxUnsentInKernel, sizeof kMaxUnsentInKernel);
  const int on = 1;
  const int v6_only = candidate.dual_stack ? 0 : 1;
  const bool ready =
      setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      (sharing == Sharing::kExclusive || setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
      (family != AF_INET6 || setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only) == 0) &&
      bind(socket.get(), reinterpret_cast<const sockaddr*>(&candidate.address), candidate.length) == 0 &&
      listen(socket.get(), kBacklog) == 0;
  if (ready) return socket;
  const int error = errno;
  socket.reset();
  errno = error;
  return {};
}

// Binds the first socket without SO_REUSEPORT, so that a port which another process serves is an error, even if that
// process shares it. Sets SO_REUSEPORT afterwards, to share the port among our own threads. Every process binds its
// first socket exclusively, so two processes that start at the same moment cannot both succeed.
FileDescriptor OpenFirst(const Candidate& candidate) {
  FileDescriptor first = Open(candidate, Sharing::kExclusive);
  const int on = 1;
  if (!first.valid() || setsockopt(first.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) return {};
  return first;
}

uint16_t BoundPort(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

void SetPort(Candidate& candidate, uint16_t port) {
  if (candidate.address.ss_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(candidate.address).sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in&>(candidate.address).sin_port = htons(port);
  }
}

// The error is an errno.
std::expected<Listeners, int> ListenOn(Candidate candidate, unsigned count) {
  FileDescriptor first = OpenFirst(candidate);
  if (!first.valid()) return std::unexpected(errno);
  Listeners listeners{.port = BoundPort(first.get())};
  listeners.sockets.push_back(std::move(first));
  SetPort(candidate, listeners.port);
  while (listeners.sockets.size() < count) {
    FileDescriptor next = Open(candidate, Sharing::kShared);
    if (!next.valid()) return std::unexpected(errno);
    listeners.sockets.push_back(std::move(next));
  }
  return listeners;
}

}  // namespace

Result<ListenAddress> ListenAddress::Parse(std::string_view text) {
  const auto fail = [&](std::string_view why) {
    return Fail(Errc::kInvalid,
                format("listen address '{}' {}; wanted host:port, [v6]:port or :port (app.listen)", text, why));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return fail("has no port");
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return fail("is IPv6 without brackets");
  }
  ListenAddress address{.host = std::string(host)};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
  if (error != std::errc() || end != digits.data() + digits.size()) return fail("has a port that is not 0 to 65535");
  return address;
}

Result<Listeners> Listen(std::string_view address, unsigned count, std::string_view option) {
  const ListenAddress parsed = TRY(ListenAddress::Parse(address));
  const std::vector<Candidate> candidates = TRY_WITHIN(Resolve(parsed), option);
  int error = EADDRNOTAVAIL;
  for (const Candidate& candidate : candidates) {
    std::expected<Listeners, int> listeners = ListenOn(candidate, count);
    if (listeners) return std::move(*listeners);
    error = listeners.error();
    // Do not try the next address: half of the name would then be served by somebody else.
    if (error == EADDRINUSE || error == EACCES) break;
  }
  const char* advice = error == EADDRINUSE ? "; another process serves it: stop that one or choose another port" : "";
  return Fail(Errc::kUnavailable,
              format("cannot listen on {}: {}{} ({})", address, std::strerror(error), advice, option));
}

}  // namespace mi::net
