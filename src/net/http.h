// HTTP as handlers see it: requests, answers, and which handler answers which path. Names no library.
#pragma once

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mi::net {

// What a sender must be allowed to do, for an endpoint to handle its requests.
enum class Role : uint8_t {
  kAnybody,  // no login is needed
  kWrite,    // send series
  kRead,     // query
  kAdmin,    // see and change how the process runs
};

// Who sends a request, after a login (gate.h). Never changes.
struct Caller {
  std::string name;
  bool all_tenants = false;
  std::vector<std::string> tenants = {};  // in their normal form (model::Tenant), sorted; '' is the default tenant

  bool MayUse(const std::string& tenant) const {
    return all_tenants || std::binary_search(tenants.begin(), tenants.end(), tenant);
  }
};

// A request. It owns a copy of its head and borrows the body and the names of the peer. A handler must copy what it
// needs: everything here is valid only until Handler::Head, or the `handle` that it gave, returns. Threads: confined to
// one.
class Request {
 public:
  std::string_view method() const { return At(method_); }  // "GET"
  std::string_view path() const { return At(path_); }      // as it came, nothing decoded; never empty
  std::string_view query() const { return At(query_); }    // raw, without '?'
  // The value of a header, by case-insensitive name. Values of headers that came more than once are joined with ", ".
  std::optional<std::string_view> Header(std::string_view name) const;
  // Calls visit(name, value) for every header as it came.
  template <typename Visit>
  void ForEachHeader(const Visit& visit) const {
    for (const Field& field : fields_) visit(At(field.name), At(field.value));
  }
  // Nothing if the header is absent or the body is chunked.
  std::optional<uint64_t> content_length() const { return framing_.content_length; }
  std::string_view body() const { return body_; }  // empty in Handler::Head()
  std::string_view peer() const { return peer_; }  // the address, without the port
  // Of the client's certificate, if it showed one that was verified: its subject ("CN=agent,O=acme"), then its SANs.
  std::span<const std::string> certificate_names() const { return certificate_names_; }
  // Null: no login is needed, and everything is allowed. Otherwise the handler must keep to the caller's tenants.
  const Caller* caller() const { return caller_; }

  // How the connection goes on after this request.
  struct Framing {
    bool is_http10 = false;
    bool keep_alive = true;
    bool chunked = false;
    std::optional<uint64_t> content_length = {};
  };
  const Framing& framing() const { return framing_; }

  // Filled in by RequestParser, the connection, and tests.
  void SetLine(std::string_view method, std::string_view target);
  void AddHeader(std::string_view name, std::string_view value);
  void SetFraming(const Framing& framing) { framing_ = framing; }
  void SetBody(std::string_view body) { body_ = body; }
  void SetPeer(std::string_view peer) { peer_ = peer; }
  void SetCertificateNames(std::span<const std::string> names) { certificate_names_ = names; }
  void SetCaller(const Caller* caller) { caller_ = caller; }
  // What its copy of the head takes.
  size_t held_bytes() const { return text_.capacity() + fields_.capacity() * sizeof(Field); }

 private:
  // A part of text_, which moves when it grows.
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

  std::string text_;  // the method, the path, the query and the headers
  Slice method_;
  Slice path_;
  Slice query_;
  std::vector<Field> fields_;
  mutable std::list<std::string> joined_;  // results of Header(): views of them must stay valid
  Framing framing_;
  std::string_view body_;
  std::string_view peer_;
  std::span<const std::string> certificate_names_;
  const Caller* caller_ = nullptr;
};

struct Response {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";  // empty for none (a 204)
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  // If set, the answer is sent in chunks and `body` is ignored. Called for one chunk after another, until it leaves the
  // string empty, on a thread that may compute for long.
  std::function<void(std::string& chunk)> next_chunk;
};

// Answers one request. Call it once, from any thread, also after the handler has returned; the answer goes to the
// thread of the connection (loop.h). Destroyed without a call, it answers 500. No effect if the connection has gone.
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

  // Requires: not called before.
  void operator()(Response response) {
    assert(send_);
    std::exchange(send_, nullptr)(std::move(response));
  }

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
  // The answer may be large: no further request of the connection is taken before it has been written. So a peer that
  // sends many such requests and reads nothing makes us hold one answer.
  bool large_answer = false;
  // The answer to a body larger than max_body_bytes (`body_bytes`: its declared length, or what has arrived of a
  // chunked one). Empty: a plain 413.
  std::function<Response(uint64_t body_bytes)> too_large;
  // If set, the connection makes it true once nobody waits for the answer any more: the peer has closed the connection,
  // or its side of it. For handlers that compute for long.
  std::shared_ptr<std::atomic<bool>> abandoned;
};

// Answers the requests of a path.
// Threads: called from any of the server's threads, concurrently. Must not block.
class Handler {
 public:
  virtual ~Handler() = default;
  // Called when the head has arrived; `request.body()` is empty then.
  virtual HeadDecision Head(const Request& request) = 0;
};

// Which handler answers which path, and for whom. Built before the server starts, then constant.
class Router {
 public:
  struct Endpoint {
    std::string pattern;
    Role role = Role::kAdmin;
    Handler* handler = nullptr;
  };

  // A pattern is a path. It may end in "/*" (any rest) and contain "{name}" for one segment, as in
  // "/select/{tenant}/prometheus/*". The most specific pattern wins: exact before {name} before *. Handlers outlive the
  // router.
  //
  // The path is compared as it came: "%2F" is no separator, and "/%64ebug" is not "/debug". So a proxy in front that
  // allows or denies paths and this router cannot read the same path differently.
  void Add(std::string_view pattern, Role role, Handler& handler);
  // Null if no pattern matches. Valid as long as the router.
  const Endpoint* Find(std::string_view path) const;
  std::vector<Endpoint> endpoints() const;

 private:
  struct Route {
    std::vector<std::string> segments;
    bool any_rest = false;
    Endpoint endpoint;
  };
  std::vector<Route> routes_;
};

// The segment after `prefix`, decoded, such as the tenant of "/select/<tenant>/prometheus". Nothing if the path does
// not begin with the prefix.
std::optional<std::string> SegmentBehind(std::string_view prefix, std::string_view path);

// Decodes %XX and '+' of one form component. Malformed escapes are left as they are.
std::string DecodeForm(std::string_view text);
// The same for a path or a segment of one, in which '+' is a plus.
std::string DecodePath(std::string_view text);

// The parameters of a query string or of an application/x-www-form-urlencoded body, in order. Names may repeat.
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
