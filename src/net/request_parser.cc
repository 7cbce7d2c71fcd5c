#include "net/request_parser.h"

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <optional>

#include "base/ascii.h"

namespace mi::net {

namespace beast = boost::beast;
namespace http = boost::beast::http;

using Code = beast::error_code;

constexpr size_t kFieldFrameBytes = 3;  // at least: a colon and the line break

// Fills a Request with what Beast finds.
class RequestParser::Sink final : public http::basic_parser<true> {
 public:
  Sink(Request& request, uint32_t max_header_bytes) : request_(request), max_header_bytes_(max_header_bytes) {
    header_limit(max_header_bytes);
    body_limit(boost::none);  // the connection limits bodies
  }
  void SendBodyTo(std::string* body) { body_ = body; }
  bool inside_chunk() const { return chunk_left_ > 0; }
  bool has_unknown_coding() const { return has_unknown_coding_; }
  // Requires: is_header_done().
  void FinishHead() {
    const auto length = content_length();
    request_.SetFraming({.is_http10 = is_http10_,
                         .keep_alive = keep_alive(),
                         .chunked = chunked(),
                         .content_length = length ? std::optional(*length) : std::nullopt});
  }

 private:
  void on_request_impl(http::verb, beast::string_view method, beast::string_view target, int version, Code&) override {
    header_bytes_ = method.size() + target.size();
    request_.SetLine(method, target);
    is_http10_ = version == 10;
  }
  void on_response_impl(int, beast::string_view, int, Code&) override {}
  // Beast compares its limit with what it has not consumed yet, and consumes one field at a time. A head that arrives
  // in small pieces would never reach that limit, so the bytes are counted here as well.
  void on_field_impl(http::field field, beast::string_view name, beast::string_view value, Code& error) override {
    if (is_header_done()) return;  // trailers: nobody asks for them
    header_bytes_ += name.size() + value.size() + kFieldFrameBytes;
    if (header_bytes_ > max_header_bytes_) {
      error = http::error::header_limit;
      return;
    }
    if (field == http::field::transfer_encoding && !EqualsIgnoringCase(value, "chunked")) has_unknown_coding_ = true;
    request_.AddHeader(name, value);
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
  bool is_http10_ = false;
  bool has_unknown_coding_ = false;
};

namespace {

RequestParser::Step Failed(const Code& error, size_t consumed, std::string& reason) {
  using Outcome = RequestParser::Outcome;
  if (error == http::error::need_more) return {Outcome::kNeedMore, consumed};
  if (error == http::error::header_limit) return {Outcome::kHeaderTooLarge, consumed};
  reason = error.message();
  return {Outcome::kBad, consumed};
}

}  // namespace

RequestParser::RequestParser(uint32_t max_header_bytes) : sink_(std::make_unique<Sink>(request_, max_header_bytes)) {}
RequestParser::~RequestParser() = default;

RequestParser::Step RequestParser::ParseHead(std::string_view input) {
  if (input.empty()) return {Outcome::kNeedMore, 0};  // Beast would do arithmetic with the null pointer
  Code error;
  const size_t consumed = sink_->put(boost::asio::buffer(input.data(), input.size()), error);
  if (error) return Failed(error, consumed, reason_);
  if (!sink_->is_header_done()) return {Outcome::kNeedMore, consumed};
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
    consumed += sink_->put(boost::asio::buffer(input.data() + consumed, input.size() - consumed), error);
    if (error) return Failed(error, consumed, reason_);
  }
  return {Outcome::kDone, consumed};
}

}  // namespace mi::net
