// One connection to Redis and the three commands that are sent over it. It connects when it is first used, and again
// after a failure. hiredis speaks the protocol; this class waits, with a deadline, and stops waiting when the process
// stops. Keys and commands: docs/formats/redis.md.
//
// Threads: confined to one. The process must ignore SIGPIPE: hiredis writes without MSG_NOSIGNAL.
// Errors: kUnavailable: Redis does not answer. kInvalid: Redis refuses, and the message names the option to change.
//         kOverloaded: Redis refuses for another reason (out of memory, read-only).
#pragma once

#include <chrono>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/stop_signal.h"
#include "dedupe/redis/options.h"
#include "model/fingerprint.h"

struct redisContext;
struct redisReply;

namespace mi::dedupe {

class RedisConnection {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  // `stop` ends every wait with kUnavailable. Both arguments must outlive the connection.
  RedisConnection(const RedisOptions& options, const StopSignal& stop) : options_(options), stop_(stop) {}

  // One flag per fingerprint, in order: whether Redis has its key. Sends pipelined MGETs of `keys_per_command` keys.
  // Requires: keys_per_command > 0.
  Result<std::vector<bool>> Find(std::span<const model::Fingerprint> fingerprints, size_t keys_per_command,
                                 Deadline deadline);

  // Writes the key of each fingerprint in one pipeline of SETs. `lifetimes` has one entry per fingerprint, or none when
  // the keys do not expire. Requires: lifetimes.empty() || lifetimes.size() == fingerprints.size().
  Status Store(std::span<const model::Fingerprint> fingerprints, std::span<const std::chrono::seconds> lifetimes,
               Deadline deadline);

  // Looks up two keys that never exist: tests whether Redis answers, permits look-ups, and is no Redis Cluster.
  Status Probe(Deadline deadline);

  void Close() { context_.reset(); }

 private:
  struct FreeContext {
    void operator()(redisContext* context) const;
  };
  struct FreeReply {
    void operator()(redisReply* reply) const;
  };
  using Reply = std::unique_ptr<redisReply, FreeReply>;

  template <typename Exchange>
  auto Retrying(Deadline deadline, Exchange exchange) -> decltype(exchange());
  Status Open(Deadline deadline);
  Status LogIn(Deadline deadline);
  Status SendProbe(Deadline deadline);

  // Adds a command to those that wait to be sent.
  void Append(std::span<const std::string_view> words);
  void Append(std::initializer_list<std::string_view> words) { Append(std::span(words.begin(), words.size())); }
  // The reply to the oldest command that has none yet; sends what waits meanwhile. An error reply is an Error.
  Result<Reply> Read(Deadline deadline);
  Status Await(short events, Deadline deadline) const;
  Error Broken() const;
  Error Unavailable(std::string_view why) const;

  const RedisOptions& options_;
  const StopSignal& stop_;
  std::unique_ptr<redisContext, FreeContext> context_;  // null while there is no connection
  std::string command_;                                 // a buffer of Append
};

}  // namespace mi::dedupe
