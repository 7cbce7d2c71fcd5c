// A blocking HTTP/1.1 client over http and https. One object keeps one connection open from request to request.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mi::net {

struct Url {
  std::string origin;  // "http://host:port"; without the port if the text has none
  std::string target;  // path and query; begins with "/"
  // kInvalid for anything but http[s]://host[:port][/path]. The message never repeats the text: it may hold a token.
  static Result<Url> Parse(std::string_view text);
  std::string text() const { return origin + target; }
};

using Headers = std::vector<std::pair<std::string, std::string>>;

struct ClientOptions {
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(5);  // name resolution included
  std::chrono::milliseconds timeout = std::chrono::seconds(30);         // for a whole request, connecting included
  uint64_t max_answer_bytes = 1 << 20;                                  // for the body of an answer
};

struct ClientResponse {
  int status = 0;  // never 1xx
  std::string body;
  std::optional<std::chrono::seconds> retry_after;  // the header
};

// The value of Retry-After: seconds, or a date (RFC 9110, 10.2.3). At most five minutes. Nothing if it is neither.
std::optional<std::chrono::seconds> ParseRetryAfter(std::string_view value, int64_t now_s);

// https verifies the server's certificate against the system's authorities; SSL_CERT_FILE and SSL_CERT_DIR name others.
// Redirects are not followed, and no proxy is used, whatever the environment says.
//
// Threads: confined to one, except Cancel().
// Errors: kUnavailable if the server cannot be reached, does not answer in time, or sends too long a body.
class Client {
 public:
  explicit Client(ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  Result<ClientResponse> Get(const std::string& url, const Headers& headers);
  // Sends exactly these headers, and Host and Content-Length.
  Result<ClientResponse> Post(const std::string& url, const Headers& headers, std::string_view body);

  // Ends a request that waits, and all later ones, with kUnavailable. Threads: safe.
  void Cancel();

 private:
  struct Handles;  // of libcurl

  Result<ClientResponse> Perform(const std::string& url, const Headers& headers);
  Status Wait();

  const ClientOptions options_;
  const std::unique_ptr<Handles> handles_;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace mi::net
