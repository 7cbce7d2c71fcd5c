// Turns bytes into a request: the head, and chunked bodies. Bodies of a declared length never pass through here. The
// only unit that compiles Boost.Beast.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/http.h"

namespace boost::system {
class error_code;
}

namespace mi::net {

// Parses one request. Threads: confined to one.
class RequestParser {
 public:
  enum class Outcome {
    kNeedMore,        // call again with what was not consumed, and more
    kHead,            // the head is complete; its body follows
    kDone,            // a chunked body is complete
    kBad,             // not HTTP/1: 400
    kHeaderTooLarge,  // 431
    kNotImplemented,  // a transfer coding other than chunked: 501
  };
  struct Step {
    Outcome outcome;
    size_t consumed;
  };

  explicit RequestParser(uint32_t max_header_bytes);
  ~RequestParser();

  Step ParseHead(std::string_view input);
  // After kHead with framing().chunked. Appends what it finds to `body`, which the caller may empty between calls.
  Step ParseChunked(std::string_view input, std::string& body);

  // Complete after kHead.
  Request& request() { return request_; }
  const Request& request() const { return request_; }
  // What it keeps in memory, the request included.
  size_t held_bytes() const;
  // Why the outcome was kBad.
  const std::string& reason() const { return reason_; }

 private:
  class Sink;  // what is compiled with Beast

  Step Failed(const boost::system::error_code& error, size_t consumed);

  Request request_;
  std::string reason_;
  const std::unique_ptr<Sink> sink_;
};

}  // namespace mi::net
