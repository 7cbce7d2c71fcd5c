#include "net/server.h"

#include <algorithm>
#include <vector>

#include "net/loop.h"
#include "net/server_state.h"

namespace mi::net {
namespace {

class BeastServer final : public Server {
 public:
  BeastServer(ServerOptions options, const Router& router, telemetry::Logger& log, Listeners listeners)
      : port_(listeners.port), state_(std::move(options), router, log) {
    for (FileDescriptor& socket : listeners.sockets) {
      loops_.push_back(std::make_unique<Loop>(state_, std::move(socket), listeners.ipv6));
    }
  }

  ~BeastServer() override {
    for (const auto& loop : loops_) loop->Stop();
  }

  void Start() override {
    for (const auto& loop : loops_) loop->Start(loops_);
  }

  void Drain(std::chrono::milliseconds deadline) override {
    const auto until = std::chrono::steady_clock::now() + deadline;
    for (const auto& loop : loops_) loop->Drain();
    MutexLock lock(state_.mutex);
    while (state_.open_connections > 0) {
      if (!state_.all_closed.WaitUntil(state_.mutex, until)) break;
    }
    if (state_.open_connections == 0) return;
    for (const auto& loop : loops_) loop->CutAll();
    while (state_.open_connections > 0) state_.all_closed.Wait(state_.mutex);
  }

  void SetLimits(ServerLimits limits) override {
    state_.max_connections = limits.max_connections;
    state_.idle_timeout = limits.idle_timeout;
  }

  uint16_t port() const override { return port_; }

  Stats stats() const override {
    return {.open_connections = state_.open_connections,
            .in_flight = state_.in_flight,
            .buffered_bytes = state_.budget.used(),
            .rejected_connections = state_.rejected_connections};
  }

 private:
  const uint16_t port_;
  ServerState state_;
  std::vector<std::unique_ptr<Loop>> loops_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::Create(ServerOptions options, const Router& router, telemetry::Logger& log) {
  options.threads = std::max(options.threads, 1U);
  Result<Listeners> listeners = Listen(options.listen, options.threads);
  if (!listeners) return Fail(listeners.error());
  return std::make_unique<BeastServer>(std::move(options), router, log, std::move(*listeners));
}

}  // namespace mi::net
