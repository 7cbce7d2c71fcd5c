// Turns bytes into a request: the head, and chunked bodies. Bodies of a declared length never pass through here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace mi::net {

// The head of a request, in memory that is reused from one request to the next.
class RequestHead {
 public:
  std::string_view method() const { return At(method_); }
  std::string_view path() const { return path_; }
  std::string_view query() const { return query_; }
  std::optional<std::string_view> Header(std::string_view name) const;
  void ForEachHeader(const std::function<void(std::string_view, std::string_view)>& visit) const;

  bool http10() const { return http10_; }
  bool keep_alive() const { return keep_alive_; }
  bool chunked() const { return chunked_; }
  // Nothing without the header, or when chunked.
  std::optional<uint64_t> content_length() const { return content_length_; }
  // Memory that it keeps for the next request.
  size_t held_bytes() const;

 private:
  friend class HeadSink;
  struct Slice {
    uint32_t at = 0;
    uint32_t size = 0;
  };
  struct Field {
    Slice name;
    Slice value;
  };
  std::string_view At(Slice slice) const { return std::string_view(text_).substr(slice.at, slice.size); }
  Slice Keep(std::string_view text);
  void SetTarget(std::string_view target);
  void Clear();

  std::string text_;
  Slice method_;
  std::string path_;
  std::string query_;
  std::vector<Field> fields_;
  mutable std::vector<std::unique_ptr<std::string>> joined_;  // values of headers that came more than once
  bool http10_ = false;
  bool keep_alive_ = true;
  bool chunked_ = false;
  std::optional<uint64_t> content_length_;
};

// Threads: confined to one. Reused: Reset() before each request.
class RequestParser {
 public:
  enum class Outcome {
    kNeedMore,        // everything usable was consumed; come again with the rest and more
    kHead,            // the head is complete; what follows is its body
    kDone,            // a chunked body is complete
    kBad,             // not HTTP/1: 400
    kHeaderTooLarge,  // 431
    kNotImplemented,  // a transfer coding other than chunked: 501
  };
  struct Step {
    Outcome outcome;
    size_t consumed;
  };

  static std::unique_ptr<RequestParser> Create();
  virtual ~RequestParser() = default;

  virtual void Reset(uint32_t max_header_bytes) = 0;
  virtual Step ParseHead(std::string_view input) = 0;
  // After kHead with chunked(): appends what it finds to `body`, which the caller may empty between calls.
  virtual Step ParseChunked(std::string_view input, std::string& body) = 0;
  virtual const RequestHead& head() const = 0;
  // Why the outcome was kBad.
  virtual std::string reason() const = 0;
};

}  // namespace mi::net
