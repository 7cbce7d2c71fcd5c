// What all threads of one server share.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/available_memory.h"
#include "base/bounded_queue.h"
#include "base/live.h"
#include "base/mutex.h"
#include "net/body_buffer.h"
#include "net/server.h"

namespace mi::net {

// The threads on which streamed answers make their chunks, so that a long computation holds up no connection.
// Threads: safe. The queue is bounded by its users: a connection has at most one job at a time.
class ChunkWorkers {
 public:
  using Job = std::move_only_function<void()>;

  explicit ChunkWorkers(unsigned threads) {
    for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  }
  // Finishes the jobs that run, drops those that wait.
  ~ChunkWorkers() {
    stopping_ = true;
    jobs_.Close();
    for (std::thread& thread : threads_) thread.join();
  }

  void Run(Job job) { jobs_.TryPush(std::move(job)); }

 private:
  void Work() {
    for (;;) {
      std::optional<Job> job = jobs_.Pop();  // destroyed before the next wait: it may hold much
      if (!job || stopping_) return;
      (*job)();
    }
  }

  BoundedQueue<Job> jobs_{std::numeric_limits<size_t>::max()};
  std::atomic<bool> stopping_ = false;
  std::vector<std::thread> threads_;
};

inline uint64_t DefaultBudget() { return std::clamp(AvailableMemory() / 4, uint64_t{64} << 20, uint64_t{1} << 30); }

// Threads: safe.
struct ServerState {
  ServerState(ServerOptions server_options, const Router& server_router, telemetry::Logger& logger,
              Gate* server_gate = nullptr)
      : options(std::move(server_options)),
        router(server_router),
        log(logger),
        gate(server_gate),
        budget(options.max_buffered_bytes > 0 ? options.max_buffered_bytes : DefaultBudget()),
        workers(std::max(options.chunk_threads, 1U)),
        max_connections(options.max_connections),
        idle_timeout(options.idle_timeout) {}

  // From three quarters on, net makes room, so that the handlers find some (Loop::MakeRoom).
  uint64_t comfortable_bytes() const { return budget.limit() / 4 * 3; }
  bool memory_is_short() const { return budget.used() > comfortable_bytes(); }

  bool speaks_tls() const { return *tls.Get() != nullptr; }

  // Returns true if one more connection may be open. The caller then calls CloseOne() for it in the end.
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
  Gate* const gate;  // null: every request is let in
  MemoryBudget budget;
  ChunkWorkers workers;

  Live<std::shared_ptr<const TlsContext>> tls{nullptr};  // of new connections; null: they are plain
  Live<std::string> headers{std::string()};              // of every answer, as text
  std::atomic<uint64_t> max_connections;
  std::atomic<std::chrono::milliseconds> idle_timeout;
  std::atomic<uint64_t> open_connections{0};
  std::atomic<uint64_t> in_flight{0};
  std::atomic<uint64_t> rejected_connections{0};
  std::atomic<uint64_t> given_up{0};
  std::atomic<uint64_t> tls_handshakes{0};  // that succeeded
  std::atomic<uint64_t> tls_failures{0};    // handshakes that failed
  std::atomic<uint64_t> room_searches{0};   // for connections that could give up memory
  std::atomic<uint64_t> place_searches{0};  // for connections that could be closed for new ones

  Mutex mutex;
  CondVar all_closed;
};

}  // namespace mi::net
