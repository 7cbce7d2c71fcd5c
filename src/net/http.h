// HTTP as the handlers see it: plain structs, no library behind them in sight.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mi::net {

// A request, borrowed: everything in it is valid only until Handler::Head, or the `handle` that it gave, returns.
class Request {
 public:
  virtual ~Request() = default;

  virtual std::string_view method() const = 0;  // "GET"
  virtual std::string_view path() const = 0;    // decoded of %XX; never empty
  virtual std::string_view query() const = 0;   // raw, without '?'
  // The value of a header, by case-insensitive name; several of one name are joined with ", "; nothing when absent.
  virtual std::optional<std::string_view> Header(std::string_view name) const = 0;
  // Nothing when the body is chunked.
  virtual std::optional<uint64_t> content_length() const = 0;
  // Empty in Handler::Head().
  virtual std::string_view body() const = 0;
  // Address of the peer, without the port.
  virtual std::string_view peer() const = 0;
  // Every header as it came, for passing a request on.
  virtual void ForEachHeader(const std::function<void(std::string_view name, std::string_view value)>& visit) const = 0;
};

struct Response {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";  // '' for none (a 204)
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  // When set, the answer is sent chunked: called for one chunk after another, on a thread that may compute, until it
  // leaves the string empty. `body` is then ignored.
  std::function<void(std::string& chunk)> next_chunk;
};

// Answers one request: exactly once, from any thread, also after the handler has returned. Destroyed unused, it answers 500.
// A reply whose connection has gone is a no-op.
class Reply {
 public:
  using Send = std::move_only_function<void(Response)>;
  explicit Reply(Send send) : send_(std::move(send)) {}
  Reply(Reply&& other) noexcept : send_(std::exchange(other.send_, nullptr)) {}
  Reply& operator=(Reply&& other) noexcept {
    std::swap(send_, other.send_);
    return *this;
  }
  ~Reply() {
    if (send_) send_({.status = 500, .body = "no answer was made\n"});
  }

  void operator()(Response response) { std::exchange(send_, nullptr)(std::move(response)); }

 private:
  Send send_;
};

// What a handler decides about a request after reading its head. `answer` or `handle` is set; `answer` wins.
struct HeadDecision {
  // Refuses the request with this answer. The server reads and drops the body (within its bound), so that the sender
  // can read the answer.
  std::optional<Response> answer;
  // Answers the request once its body has arrived. Called at most once. It owns what Head() found out, so that nothing
  // is examined twice. Must not block: hand long work to a thread of your own.
  std::move_only_function<void(const Request& request, Reply reply)> handle;
  uint64_t max_body_bytes = 1 << 20;
  // The answer to a body larger than max_body_bytes (`body_bytes`: its declared length, or what has arrived of a
  // chunked one). Empty: a plain 413.
  std::function<Response(uint64_t body_bytes)> too_large;
};

// Answers the requests of a path.
// Threads: called from any of the server's threads, concurrently. Must not block.
class Handler {
 public:
  virtual ~Handler() = default;
  // Called when the head has arrived; `request.body()` is empty then.
  virtual HeadDecision Head(const Request& request) = 0;
};

// Which handler answers which path. Built before the server starts, then constant.
class Router {
 public:
  // Exact paths. A pattern may end in "/*" (any rest), and hold "{name}" for one segment:
  // "/select/{tenant}/prometheus/*". The most specific pattern wins: exact before {name} before *. Handlers outlive the
  // router.
  void Add(std::string_view pattern, Handler& handler);
  // Null when no pattern matches: the server answers 404.
  Handler* Find(std::string_view path) const;

 private:
  struct Route {
    std::vector<std::string> segments;
    bool any_rest = false;
    Handler* handler = nullptr;
  };
  std::vector<Route> routes_;
};

// As header names, media types and codings compare: ASCII letters without their case.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);

// The segment behind `prefix`: the tenant of "/select/<tenant>/prometheus". Nothing in a path that does not begin so.
std::optional<std::string_view> SegmentBehind(std::string_view prefix, std::string_view path);

// Decodes %XX and '+' of one form component. Malformed escapes stand as they are.
std::string DecodeForm(std::string_view text);
// The same for a path or one segment of it, where '+' is a plus.
std::string DecodePath(std::string_view text);

// The parameters of a query string or of an application/x-www-form-urlencoded body, in order, repeated names kept.
class FormParameters {
 public:
  static FormParameters Parse(std::string_view encoded);
  void Append(std::string_view encoded);

  std::optional<std::string_view> First(std::string_view name) const;
  std::vector<std::string_view> All(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

}  // namespace mi::net
