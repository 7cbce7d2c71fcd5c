// A thread's own line to Redis: connects when it is first needed, and again when the connection has died unnoticed.
#pragma once

#include <chrono>
#include <memory>
#include <utility>

#include "dedupe/redis_connection.h"

namespace mi::dedupe {

// Threads: confined to one. `options` and `interrupt` outlive it.
class RedisLine {
 public:
  RedisLine(const RedisOptions& options, const Interrupt& interrupt) : options_(options), interrupt_(interrupt) {}

  // What `exchange(connection)` gives. A connection that was idle may have been closed by the other side (a restart,
  // `timeout` in redis.conf, a proxy), or lead to a server that is no longer the one to ask (a failover): a failure
  // there is tried once more, over a new one. Any error ends the connection: answers may be outstanding.
  template <typename Exchange>
  auto Do(RedisConnection::Deadline deadline, Exchange exchange)
      -> decltype(exchange(std::declval<RedisConnection&>())) {
    // Out of the way: what an exception leaves behind is of no use either.
    if (auto connection = std::exchange(connection_, nullptr)) {
      auto result = exchange(*connection);
      if (result) connection_ = std::move(connection);
      if (result || std::chrono::steady_clock::now() >= deadline) return result;
    }
    auto opened = RedisConnection::Open(options_, interrupt_, deadline);
    if (!opened) return Fail(opened.error());
    auto result = exchange(**opened);
    if (result) connection_ = *std::move(opened);
    return result;
  }

  void Close() { connection_.reset(); }

 private:
  const RedisOptions& options_;
  const Interrupt& interrupt_;
  std::unique_ptr<RedisConnection> connection_;
};

}  // namespace mi::dedupe
