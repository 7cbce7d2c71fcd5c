// One connection to Redis: hiredis speaks the protocol, poll waits, and every wait has a deadline and can be ended.
//
// Threads: confined to one; an Interrupt is safe to raise from another. The thread must have SIGPIPE blocked or
// ignored: hiredis 0.14 writes without MSG_NOSIGNAL. Errors: kUnavailable: it does not answer. What it refuses is
// kInvalid where an option has to change (the text names it)
//         and kOverloaded otherwise (out of memory, read-only). After any error the connection is of no more use.
#pragma once

#include <hiredis/hiredis.h>

#include <atomic>
#include <chrono>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "dedupe/redis_options.h"

namespace mi::dedupe {

// Ends the waits of all connections that were opened with it, now and from now on.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  void Raise();
  bool raised() const { return raised_.load(std::memory_order_relaxed); }
  int fd() const { return fd_; }

 private:
  std::atomic<bool> raised_ = false;
  int fd_;
};

struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using RedisReply = std::unique_ptr<redisReply, FreeReply>;

class RedisConnection {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  // Connects, gives the password, chooses the database and tries a look-up. Resolving a host's name is outside the
  // deadline (getaddrinfo has none).
  static Result<std::unique_ptr<RedisConnection>> Open(const RedisOptions& options, const Interrupt& interrupt,
                                                       Deadline deadline);

  // Puts a command behind those that wait to be sent.
  void Append(std::span<const std::string_view> words);
  void Append(std::initializer_list<std::string_view> words) { Append(std::span(words.begin(), words.size())); }

  // The answer to the first command that has none yet; sends what waits meanwhile. An answer that is an error is
  // an Error too.
  Result<RedisReply> Read(Deadline deadline);

  // A look-up that finds nothing: whether it answers, and lets us ask.
  Status Probe(Deadline deadline);

 private:
  struct FreeContext {
    void operator()(redisContext* context) const { redisFree(context); }
  };
  RedisConnection(const RedisOptions& options, const Interrupt& interrupt, redisContext* context)
      : options_(options), interrupt_(interrupt), context_(context) {}

  Status Begin(Deadline deadline);
  Status Transfer(Deadline deadline);
  // What the socket is ready for.
  Result<short> Await(short events, Deadline deadline) const;
  Error Broken() const;
  Error Away(std::string_view why) const;

  const RedisOptions& options_;
  const Interrupt& interrupt_;
  std::unique_ptr<redisContext, FreeContext> context_;
};

// "127.0.0.1:6379", or the path of a unix socket.
std::string AddressOf(const RedisOptions& options);

}  // namespace mi::dedupe
