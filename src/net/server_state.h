// What all threads of one server share.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>

#include "base/mutex.h"
#include "net/body_buffer.h"
#include "net/chunk_workers.h"
#include "net/server.h"

namespace mi::net {

// Threads: safe.
struct ServerState {
  ServerState(ServerOptions with, const Router& table, telemetry::Logger& logger)
      : options(std::move(with)),
        router(table),
        log(logger),
        budget(options.max_buffered_bytes),
        workers(std::max(options.chunk_threads, 1U)),
        max_connections(options.max_connections),
        idle_timeout(options.idle_timeout) {}

  // True when one more may be open; the caller calls CloseOne for it in the end.
  bool TryOpenOne() {
    if (open_connections.fetch_add(1) < max_connections) return true;
    CloseOne();
    return false;
  }
  void CloseOne() EXCLUDES(mutex) {
    if (open_connections.fetch_sub(1) != 1) return;
    MutexLock lock(mutex);
    all_closed.NotifyAll();
  }

  const ServerOptions options;
  const Router& router;
  telemetry::Logger& log;
  MemoryBudget budget;
  ChunkWorkers workers;

  std::atomic<uint64_t> max_connections;
  std::atomic<std::chrono::milliseconds> idle_timeout;
  std::atomic<uint64_t> open_connections{0};
  std::atomic<uint64_t> in_flight{0};
  std::atomic<uint64_t> rejected_connections{0};

  Mutex mutex;
  CondVar all_closed;
};

}  // namespace mi::net
