#include "net/request_parser.h"

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

namespace mi::net {

namespace beast = boost::beast;
namespace http = boost::beast::http;

std::optional<std::string_view> RequestHead::Header(std::string_view name) const {
  std::optional<std::string_view> first;
  std::string* joined = nullptr;
  for (const Field& field : fields_) {
    if (!beast::iequals(At(field.name), name)) continue;
    if (!first) {
      first = At(field.value);
      continue;
    }
    if (joined == nullptr) joined = joined_.emplace_back(std::make_unique<std::string>(*first)).get();
    joined->append(", ").append(At(field.value));
  }
  return joined == nullptr ? first : *joined;
}

void RequestHead::ForEachHeader(const std::function<void(std::string_view, std::string_view)>& visit) const {
  for (const Field& field : fields_) visit(At(field.name), At(field.value));
}

size_t RequestHead::held_bytes() const {
  size_t bytes = text_.capacity() + path_.capacity() + query_.capacity() + fields_.capacity() * sizeof(Field);
  for (const auto& joined : joined_) bytes += joined->capacity();
  return bytes;
}

RequestHead::Slice RequestHead::Keep(std::string_view text) {
  const Slice slice{static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(text.size())};
  text_.append(text);
  return slice;
}

// origin-form, and absolute-form as proxies send it.
void RequestHead::SetTarget(std::string_view target) {
  if (!target.starts_with('/')) {
    const size_t authority = target.find("://");
    if (authority != std::string_view::npos) {
      const size_t path = target.find_first_of("/?", authority + 3);
      target = path == std::string_view::npos ? "/" : target.substr(path);
    }
  }
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  path_ = DecodePath(target.substr(0, question));
  if (path_.empty()) path_ = "/";
  query_ = question == std::string_view::npos ? "" : target.substr(question + 1);
}

void RequestHead::Clear() {
  text_.clear();
  fields_.clear();
  joined_.clear();
  content_length_.reset();
  method_ = {};
  http10_ = chunked_ = false;
}

// Receives what Beast finds.
class HeadSink final : public http::basic_parser<true> {
 public:
  HeadSink(RequestHead& head, uint32_t max_header_bytes) : head_(head), max_header_bytes_(max_header_bytes) {
    head_.Clear();
    header_limit(max_header_bytes);
    body_limit(boost::none);  // the connection limits bodies
  }
  void SendBodyTo(std::string* body) { body_ = body; }
  bool inside_chunk() const { return chunk_left_ > 0; }
  bool unknown_coding() const { return unknown_coding_; }
  // Requires: is_header_done().
  void FinishHead() {
    head_.keep_alive_ = keep_alive();
    head_.chunked_ = chunked();
    const auto length = content_length();
    if (length) head_.content_length_ = *length;
  }

 private:
  using Code = beast::error_code;

  void on_request_impl(http::verb, beast::string_view method, beast::string_view target, int version, Code&) override {
    header_bytes_ = method.size() + target.size();
    head_.method_ = head_.Keep(method);
    head_.SetTarget(target);
    head_.http10_ = version == 10;
  }
  void on_response_impl(int, beast::string_view, int, Code&) override {}
  // Beast holds its limit against what it has not consumed yet, and consumes a field at a time: a head that comes in
  // small pieces would never reach it.
  void on_field_impl(http::field field, beast::string_view name, beast::string_view value, Code& error) override {
    if (is_header_done()) return;  // trailers: nobody asks for them
    header_bytes_ += name.size() + value.size() + kFieldFrameBytes;
    if (header_bytes_ > max_header_bytes_) {
      error = http::error::header_limit;
      return;
    }
    if (field == http::field::transfer_encoding && !beast::iequals(value, "chunked")) unknown_coding_ = true;
    const RequestHead::Slice kept_name = head_.Keep(name);
    head_.fields_.push_back({kept_name, head_.Keep(value)});
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

  static constexpr size_t kFieldFrameBytes = 3;  // at least: a colon and the line break

  RequestHead& head_;
  const size_t max_header_bytes_;
  size_t header_bytes_ = 0;  // of what has been parsed
  std::string* body_ = nullptr;
  uint64_t chunk_left_ = 0;
  bool unknown_coding_ = false;
};

namespace {

class BeastRequestParser final : public RequestParser {
 public:
  void Reset(uint32_t max_header_bytes) override { sink_.emplace(head_, max_header_bytes); }

  Step ParseHead(std::string_view input) override {
    if (input.empty()) return {Outcome::kNeedMore, 0};  // Beast would count on from its null pointer
    beast::error_code error;
    const size_t consumed = sink_->put(boost::asio::buffer(input.data(), input.size()), error);
    if (error) return Failed(error, consumed);
    if (!sink_->is_header_done()) return {Outcome::kNeedMore, consumed};
    if (sink_->unknown_coding()) return {Outcome::kNotImplemented, consumed};
    sink_->FinishHead();
    return {Outcome::kHead, consumed};
  }

  Step ParseChunked(std::string_view input, std::string& body) override {
    sink_->SendBodyTo(&body);
    size_t consumed = 0;
    while (!sink_->is_done()) {
      // Inside of a chunk Beast takes no bytes for progress, and would be asked for ever. Between chunks it asserts
      // that a last chunk which it sees for the second time has 5 bytes; no body can go on with fewer.
      const size_t least = sink_->inside_chunk() ? 1 : 5;
      if (input.size() - consumed < least) return {Outcome::kNeedMore, consumed};
      beast::error_code error;
      consumed += sink_->put(boost::asio::buffer(input.data() + consumed, input.size() - consumed), error);
      if (error) return Failed(error, consumed);
    }
    return {Outcome::kDone, consumed};
  }

  const RequestHead& head() const override { return head_; }
  std::string reason() const override { return reason_; }

 private:
  Step Failed(const beast::error_code& error, size_t consumed) {
    if (error == http::error::need_more) return {Outcome::kNeedMore, consumed};
    if (error == http::error::header_limit) return {Outcome::kHeaderTooLarge, consumed};
    reason_ = error.message();
    return {Outcome::kBad, consumed};
  }

  RequestHead head_;
  std::optional<HeadSink> sink_;
  std::string reason_;
};

}  // namespace

std::unique_ptr<RequestParser> RequestParser::Create() { return std::make_unique<BeastRequestParser>(); }

}  // namespace mi::net
