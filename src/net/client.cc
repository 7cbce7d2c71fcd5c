#include "net/client.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cerrno>
#include <cstring>

#include "base/format.h"
#include "net/listener.h"

namespace mi::net {

namespace beast = boost::beast;
namespace http = boost::beast::http;

Result<Url> Url::Parse(std::string_view text) {
  constexpr std::string_view kScheme = "http://";
  const auto fail = [&](std::string_view why) {
    return Fail(Errc::kInvalid, format("URL '{}' {}; wanted http://host[:port][/path]", text, why));
  };
  if (!text.starts_with(kScheme)) return fail("does not begin with http://");
  const std::string_view rest = text.substr(kScheme.size());
  const size_t authority_end = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view host = rest.substr(0, authority_end);
  if (host.find('@') != std::string_view::npos) return fail("carries credentials");
  Url url{.host = "", .port = "80", .target = std::string(rest.substr(authority_end))};
  url.target = url.target.substr(0, url.target.find('#'));
  if (!url.target.starts_with('/')) url.target.insert(0, "/");
  const size_t bracket = host.rfind(']');
  const size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    url.port = host.substr(colon + 1);
    host = host.substr(0, colon);
    const bool digits = url.port.find_first_not_of("0123456789") == std::string::npos;
    if (url.port.empty() || !digits || url.port.size() > 5 || std::stoul(url.port) > 65535) {
      return fail("has a port that is not 0 to 65535");
    }
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty()) return fail("has no host");
  url.host = host;
  return url;
}

std::string_view ClientResponse::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (beast::iequals(key, name)) return value;
  }
  return {};
}

namespace {

using Clock = std::chrono::steady_clock;
using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr size_t kReadBytes = 64 << 10;

class SocketClient final : public Client {
 public:
  SocketClient(std::string host, std::string port, std::chrono::milliseconds timeout)
      : host_(std::move(host)), port_(std::move(port)), timeout_(timeout), buffer_(kReadBytes, '\0') {}

  Result<ClientResponse> Send(std::string_view method, std::string_view target, const Headers& headers,
                              std::string_view body) override {
    deadline_ = Clock::now() + timeout_;
    const bool reused = socket_.get() >= 0;
    Result<ClientResponse> response = Exchange(method, target, headers, body);
    // The server may have closed the idle connection just now; nothing of an answer came, so once more on a new one.
    if (!response && reused && !answer_begun_ && Clock::now() < deadline_) {
      response = Exchange(method, target, headers, body);
    }
    return response;
  }

 private:
  Result<ClientResponse> Exchange(std::string_view method, std::string_view target, const Headers& headers,
                                  std::string_view body) {
    answer_begun_ = false;
    if (socket_.get() < 0) {
      const Status connected = Connect();
      if (!connected) return Fail(connected.error());
    }
    MakeHead(method, target, headers, body.size());
    // A server may refuse a request before it has read all of it: what it says counts more than the failed write.
    const Status written = WriteAll(head_, body);
    Result<ClientResponse> response = ReadResponse(method == "HEAD");
    if (!response || !written) socket_ = FileDescriptor();
    if (!response && !written) return Fail(written.error());
    return response;
  }

  Status Connect() {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error = getaddrinfo(host_.c_str(), port_.c_str(), &hints, &found);
    if (error != 0) return Fail(Errc::kUnavailable, format("cannot resolve {}: {}", host_, gai_strerror(error)));
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
    int last_error = EADDRNOTAVAIL;
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
      FileDescriptor socket(::socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      last_error = ConnectTo(socket.get(), *at);
      if (last_error != 0) continue;
      const int on = 1;
      setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      socket_ = std::move(socket);
      return {};
    }
    return Fail(Errc::kUnavailable, format("cannot connect to {}:{}: {}", host_, port_, std::strerror(last_error)));
  }

  int ConnectTo(int socket, const addrinfo& address) {
    if (socket < 0) return errno;
    if (connect(socket, address.ai_addr, address.ai_addrlen) == 0) return 0;
    if (errno != EINPROGRESS) return errno;
    if (!Await(socket, POLLOUT)) return ETIMEDOUT;
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length);
    return error;
  }

  // False at the deadline.
  bool Await(int socket, short events) {
    for (;;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now());
      if (left.count() <= 0) return false;
      pollfd wait{.fd = socket, .events = events, .revents = 0};
      const int ready = poll(&wait, 1, static_cast<int>(std::min<int64_t>(left.count(), 1 << 30)));
      if (ready > 0) return true;
      if (ready < 0 && errno != EINTR) return false;
    }
  }

  void MakeHead(std::string_view method, std::string_view target, const Headers& headers, size_t body_size) {
    head_.clear();
    const bool v6 = host_.find(':') != std::string::npos;
    format_to(std::back_inserter(head_), "{} {} HTTP/1.1\r\nHost: {}{}{}:{}\r\n", method, target, v6 ? "[" : "", host_,
              v6 ? "]" : "", port_);
    for (const auto& [name, value] : headers) format_to(std::back_inserter(head_), "{}: {}\r\n", name, value);
    if (body_size > 0 || (method != "GET" && method != "HEAD")) {
      format_to(std::back_inserter(head_), "Content-Length: {}\r\n", body_size);
    }
    head_.append("\r\n");
  }

  Status WriteAll(std::string_view head, std::string_view body) {
    while (!head.empty() || !body.empty()) {
      std::array<iovec, 2> parts = {iovec{const_cast<char*>(head.data()), head.size()},
                                    iovec{const_cast<char*>(body.data()), body.size()}};
      msghdr message{};
      message.msg_iov = parts.data();
      message.msg_iovlen = parts.size();
      const ssize_t sent = sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return Broken("write", std::strerror(errno));
        if (!Await(socket_.get(), POLLOUT)) return Broken("write", "timed out");
        continue;
      }
      const size_t of_head = std::min<size_t>(sent, head.size());
      head.remove_prefix(of_head);
      body.remove_prefix(sent - of_head);
    }
    return {};
  }

  Result<ClientResponse> ReadResponse(bool head_only) {
    http::response_parser<http::string_body> parser;
    parser.body_limit(boost::none);
    parser.header_limit(1 << 20);
    parser.skip(head_only);
    parser.eager(true);
    size_t filled = 0;
    while (!parser.is_done()) {
      const Result<size_t> got = ReadSome(filled);
      if (!got) return Fail(got.error());
      beast::error_code error;
      if (*got == 0) {
        if (!parser.got_some()) return Fail(Broken("read", "the server closed the connection").error());
        parser.put_eof(error);
        if (error) return Fail(Broken("read", error.message()).error());
        socket_ = FileDescriptor();
        break;
      }
      answer_begun_ = true;
      filled += *got;
      const size_t used = parser.put(boost::asio::buffer(buffer_.data(), filled), error);
      if (error && error != http::error::need_more) return Fail(Broken("read", error.message()).error());
      std::memmove(buffer_.data(), buffer_.data() + used, filled - used);
      filled -= used;
      if (filled == buffer_.size()) buffer_.resize(buffer_.size() * 2);
    }
    if (!parser.keep_alive()) socket_ = FileDescriptor();
    return Take(parser);
  }

  // 0 at the end of the stream.
  Result<size_t> ReadSome(size_t at) {
    for (;;) {
      const ssize_t got = recv(socket_.get(), buffer_.data() + at, buffer_.size() - at, 0);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return Fail(Broken("read", std::strerror(errno)).error());
      if (!Await(socket_.get(), POLLIN)) return Fail(Broken("read", "timed out").error());
    }
  }

  static ClientResponse Take(http::response_parser<http::string_body>& parser) {
    auto& message = parser.get();
    ClientResponse response{.status = static_cast<int>(message.result_int())};
    for (const auto& field : message) {
      response.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
    }
    response.body = std::move(message.body());
    return response;
  }

  Status Broken(std::string_view doing, std::string_view why) const {
    return Fail(Errc::kUnavailable, format("{} {}:{}: {}", doing, host_, port_, why));
  }

  const std::string host_;
  const std::string port_;
  const std::chrono::milliseconds timeout_;
  Clock::time_point deadline_;
  FileDescriptor socket_;
  bool answer_begun_ = false;
  std::string head_;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Client> Client::Create(std::string host, std::string port, std::chrono::milliseconds timeout) {
  return std::make_unique<SocketClient>(std::move(host), std::move(port), timeout);
}

}  // namespace mi::net
