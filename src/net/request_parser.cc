#include "net/request_parser.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <functional>
#include <optional>

#include "base/ascii.h"

namespace mi::net {

namespace beast = boost::beast;
namespace http = boost::beast::http;

using Code = beast::error_code;

constexpr size_t kLineBreakBytes = 2;

// Fills a Request with what Beast finds.
class RequestParser::Sink final : public http::basic_parser<true> {
 public:
  Sink(Request& request, uint32_t max_header_bytes) : request_(request), max_header_bytes_(max_header_bytes) {
    header_limit(max_header_bytes);
    body_limit(boost::none);  // the connection limits bodies
  }
  // Fields that do not lie in `input` were unfolded by Beast.
  void BeginInput(std::string_view input) { input_ = input; }
  void SendBodyTo(std::string* body) { body_ = body; }
  // Why a head that Beast accepts is refused; '' if it is not.
  std::string_view fault() const { return fault_; }
  bool inside_chunk() const { return chunk_left_ > 0; }
  bool has_unknown_coding() const { return has_unknown_coding_; }
  bool lacks_host() const { return !has_host_ && !is_http10_; }
  // Requires: is_header_done().
  void FinishHead() {
    const auto length = content_length();
    request_.SetFraming({.is_http10 = is_http10_,
                         .keep_alive = keep_alive(),
                         .chunked = chunked(),
                         .content_length = length ? std::optional(*length) : std::nullopt});
  }

 private:
  void on_request_impl(http::verb, beast::string_view method, beast::string_view target, int version,
                       Code& error) override {
    header_bytes_ = method.size() + target.size();
    is_http10_ = version == 10;
    if (!IsTarget(target)) return Refuse("the target is neither a path nor a URL", error);
    request_.SetLine(method, target);
  }
  void on_response_impl(int, beast::string_view, int, Code&) override {}
  // Beast compares its limit with what it has not consumed yet, and consumes one field at a time. A head that arrives
  // in small pieces would never reach that limit, so the bytes are counted here as well.
  void on_field_impl(http::field field, beast::string_view name, beast::string_view value, Code& error) override {
    if (IsFolded(name, value)) return Refuse("a header continues on the next line (obs-fold)", error);
    header_bytes_ += static_cast<size_t>(value.data() + value.size() - name.data()) + kLineBreakBytes;
    if (header_bytes_ > max_header_bytes_) {
      error = http::error::header_limit;
      return;
    }
    if (is_header_done()) return;  // trailers: nobody asks for them
    if (field == http::field::host) {
      if (has_host_) return Refuse("two Host headers", error);
      if (!IsHost(value)) return Refuse("the Host header is not a host", error);
      has_host_ = true;
    } else if (field == http::field::transfer_encoding) {
      if (is_http10_) return Refuse("HTTP/1.0 has no Transfer-Encoding", error);
      if (!EqualsIgnoringCase(value, "chunked")) has_unknown_coding_ = true;
    }
    request_.AddHeader(name, value);
  }
  void Refuse(std::string_view fault, Code& error) {
    fault_ = fault;
    error = http::error::bad_field;
  }
  // Origin-form, absolute-form, or the "*" of OPTIONS (RFC 9112, 3.2). We are no proxy, so there is no CONNECT.
  static bool IsTarget(std::string_view target) {
    if (target.starts_with('/') || target == "*") return true;
    for (const std::string_view scheme : {"http://", "https://"}) {
      if (target.starts_with(scheme))
        return target.find_first_of("/?#:", scheme.size()) != scheme.size() && target != scheme;
    }
    return false;
  }
  // Beast joins the lines of a folded value in a buffer of its own. If the first line is empty, the value is a part of
  // the input, but a line break lies between it and its name.
  bool IsFolded(std::string_view name, std::string_view value) const {
    const std::less<const char*> before;
    const char* const colon = name.data() + name.size();
    if (before(value.data(), colon) || before(input_.data() + input_.size(), value.data())) return true;
    return std::find(colon, value.data(), '\r') != value.data();
  }
  // Roughly uri-host [":" port] (RFC 9112, 3.2): what could be read as something else is refused. May be empty.
  static bool IsHost(std::string_view host) {
    return std::ranges::none_of(host, [](char c) {
      return c == ' ' || c == '\t' || c == ',' || c == '/' || c == '?' || c == '#' || c == '@' || c == '\\' ||
             c == '"' || c == '<' || c == '>';
    });
  }
  void on_header_impl(Code&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>&, Code&) override {}
  size_t on_body_impl(beast::string_view body, Code&) override { return body.size(); }
  void on_chunk_header_impl(uint64_t size, beast::string_view, Code&) override { chunk_left_ = size; }
  size_t on_chunk_body_impl(uint64_t, beast::string_view body, Code&) override {
    body_->append(body);
    chunk_left_ -= body.size();
    return body.size();
  }
  void on_finish_impl(Code&) override {}

  Request& request_;
  const size_t max_header_bytes_;
  size_t header_bytes_ = 0;
  std::string* body_ = nullptr;
  uint64_t chunk_left_ = 0;
  std::string_view input_;
  std::string_view fault_;
  bool is_http10_ = false;
  bool has_host_ = false;
  bool has_unknown_coding_ = false;
};

RequestParser::RequestParser(uint32_t max_header_bytes) : sink_(std::make_unique<Sink>(request_, max_header_bytes)) {}
RequestParser::~RequestParser() = default;

RequestParser::Step RequestParser::Failed(const boost::system::error_code& error, size_t consumed) {
  if (error == http::error::need_more) return {Outcome::kNeedMore, consumed};
  if (error == http::error::header_limit) return {Outcome::kHeaderTooLarge, consumed};
  reason_ = sink_->fault().empty() ? error.message() : sink_->fault();
  return {Outcome::kBad, consumed};
}

size_t RequestParser::held_bytes() const { return sizeof(RequestParser) + sizeof(Sink) + request_.held_bytes(); }

RequestParser::Step RequestParser::ParseHead(std::string_view input) {
  if (input.empty()) return {Outcome::kNeedMore, 0};  // Beast would do arithmetic with the null pointer
  Code error;
  sink_->BeginInput(input);
  const size_t consumed = sink_->put(boost::asio::buffer(input.data(), input.size()), error);
  if (error) return Failed(error, consumed);
  if (!sink_->is_header_done()) return {Outcome::kNeedMore, consumed};
  if (sink_->lacks_host()) {
    reason_ = "HTTP/1.1 without a Host header";
    return {Outcome::kBad, consumed};
  }
  if (sink_->has_unknown_coding()) return {Outcome::kNotImplemented, consumed};
  sink_->FinishHead();
  return {Outcome::kHead, consumed};
}

RequestParser::Step RequestParser::ParseChunked(std::string_view input, std::string& body) {
  sink_->SendBodyTo(&body);
  size_t consumed = 0;
  while (!sink_->is_done()) {
    // Inside a chunk Beast would accept an empty input as progress, and this loop would never end. Between chunks it
    // asserts that a last chunk which it sees for the second time has 5 bytes; no valid body goes on with fewer.
    const size_t least = sink_->inside_chunk() ? 1 : 5;
    if (input.size() - consumed < least) return {Outcome::kNeedMore, consumed};
    Code error;
    sink_->BeginInput(input.substr(consumed));
    consumed += sink_->put(boost::asio::buffer(input.data() + consumed, input.size() - consumed), error);
    if (error) return Failed(error, consumed);
  }
  return {Outcome::kDone, consumed};
}

}  // namespace mi::net
