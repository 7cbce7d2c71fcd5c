#include "net/client.h"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstring>
#include <limits>
#include <span>

#include "base/format.h"

namespace mi::net {

namespace beast = boost::beast;
namespace http = boost::beast::http;

Result<Url> Url::Parse(std::string_view text) {
  constexpr std::string_view kPlain = "http://";
  constexpr std::string_view kTls = "https://";
  // Without the text: it may carry a password or a token, and ends in logs.
  const auto fail = [](std::string_view why) {
    return Fail(Errc::kInvalid, format("the URL {}; wanted http[s]://host[:port][/path]", why));
  };
  const bool tls = text.starts_with(kTls);
  if (!tls && !text.starts_with(kPlain)) return fail("does not begin with http:// or https://");
  const std::string_view rest = text.substr(tls ? kTls.size() : kPlain.size());
  const size_t authority_end = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view host = rest.substr(0, authority_end);
  if (host.find('@') != std::string_view::npos) return fail("carries credentials");
  Url url{.host = "", .port = tls ? "443" : "80", .target = std::string(rest.substr(authority_end)), .tls = tls};
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
constexpr uint32_t kMaxHeadBytes = 1 << 20;  // of an answer

class SocketClient final : public Client {
 public:
  explicit SocketClient(ClientOptions options) : options_(std::move(options)), buffer_(kReadBytes, '\0') {}

  Result<ClientResponse> Send(std::string_view method, std::string_view target, const Headers& headers,
                              std::string_view body) override {
    deadline_ = Clock::now() + options_.timeout;
    const bool reused = wire_ != nullptr;
    Result<ClientResponse> response = Exchange(method, target, headers, body);
    // The server may have closed the idle connection just now; nothing of an answer came, so once more on a new one.
    if (!response && reused && !answer_begun_ && Clock::now() < deadline_) {
      response = Exchange(method, target, headers, body);
    }
    return response;
  }

  void Cancel() override { cancel_.Raise(); }

 private:
  Result<ClientResponse> Exchange(std::string_view method, std::string_view target, const Headers& headers,
                                  std::string_view body) {
    answer_begun_ = false;
    if (wire_ == nullptr) {
      auto wire = Wire::Connect(options_.to, cancel_, std::min(deadline_, Clock::now() + options_.connect_timeout));
      if (!wire) return Fail(wire.error());
      wire_ = *std::move(wire);
    }
    MakeHead(method, target, headers, body.size());
    // A server may refuse a request before it has read all of it: what it says counts more than the failed write.
    const Status written = wire_->WriteAll(head_, body, deadline_);
    Result<ClientResponse> response = ReadResponse(method == "HEAD");
    if (!response || !written) wire_.reset();
    if (!response && !written) return Fail(written.error());
    return response;
  }

  void MakeHead(std::string_view method, std::string_view target, const Headers& headers, size_t body_size) {
    head_.clear();
    const auto& [host, port, tls] = options_.to;
    const bool v6 = host.find(':') != std::string::npos;
    AppendFormat(head_, "{} {} HTTP/1.1\r\nHost: {}{}{}:{}\r\n", method, target, v6 ? "[" : "", host, v6 ? "]" : "",
                 port);
    for (const auto& [name, value] : headers) AppendFormat(head_, "{}: {}\r\n", name, value);
    if (body_size > 0 || (method != "GET" && method != "HEAD")) {
      AppendFormat(head_, "Content-Length: {}\r\n", body_size);
    }
    head_.append("\r\n");
  }

  Result<ClientResponse> ReadResponse(bool head_only) {
    http::response_parser<http::string_body> parser;
    parser.body_limit(options_.max_answer_bytes);
    parser.header_limit(kMaxHeadBytes);
    parser.skip(head_only);
    parser.eager(true);
    size_t filled = 0;
    size_t head_bytes = 0;
    while (!parser.is_done()) {
      const Result<size_t> got = wire_->ReadSome(std::span(buffer_).subspan(filled), deadline_);
      if (!got) return Fail(got.error());
      beast::error_code error;
      if (*got == 0) {
        if (!parser.got_some()) return Fail(Broken("read", "the server closed the connection").error());
        parser.put_eof(error);
        if (error) return Fail(Broken("read", error.message()).error());
        wire_.reset();
        break;
      }
      answer_begun_ = true;
      filled += *got;
      const size_t used = parser.put(boost::asio::buffer(buffer_.data(), filled), error);
      if (error == http::error::body_limit) return Fail(TooLong().error());
      if (error && error != http::error::need_more) return Fail(Broken("read", error.message()).error());
      // Beast's own limit does not hold for a head that comes in pieces.
      if (!parser.is_header_done()) head_bytes += used;
      if (head_bytes > kMaxHeadBytes) {
        return Fail(Broken("read", "the head of the answer is too large").error());
      }
      std::memmove(buffer_.data(), buffer_.data() + used, filled - used);
      filled -= used;
      if (filled == buffer_.size()) buffer_.resize(buffer_.size() * 2);
    }
    if (!parser.keep_alive()) wire_.reset();
    return Take(parser);
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

  Status TooLong() const {
    return Broken("read", format("the answer is longer than the limit {}", FormatBytes(options_.max_answer_bytes)));
  }
  Status Broken(std::string_view doing, std::string_view why) const {
    return Fail(Errc::kUnavailable, format("{} {}:{}: {}", doing, options_.to.host, options_.to.port, why));
  }

  const ClientOptions options_;
  const CancelSignal cancel_;
  Clock::time_point deadline_;
  std::unique_ptr<Wire> wire_;
  bool answer_begun_ = false;
  std::string head_;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Client> Client::Create(ClientOptions options) {
  return std::make_unique<SocketClient>(std::move(options));
}

std::unique_ptr<Client> Client::Create(std::string host, std::string port, std::chrono::milliseconds timeout) {
  return Create({.to = {std::move(host), std::move(port), nullptr},
                 .connect_timeout = timeout,
                 .timeout = timeout,
                 .max_answer_bytes = std::numeric_limits<uint64_t>::max()});
}

}  // namespace mi::net
