#include "net/server.h"

#include <algorithm>
#include <future>
#include <utility>

#include "net/listener.h"
#include "net/loop.h"
#include "net/response_text.h"
#include "net/server_state.h"

namespace mi::net {

Server::Server(ServerOptions options, const Router& router, telemetry::Logger& log, Gate* gate, Listeners listeners)
    : port_(listeners.port), state_(std::make_unique<ServerState>(std::move(options), router, log, gate)) {
  for (FileDescriptor& socket : listeners.sockets) {
    loops_.push_back(std::make_unique<Loop>(*state_, std::move(socket)));
  }
}

Result<std::unique_ptr<Server>> Server::Create(ServerOptions options, const Router& router, telemetry::Logger& log,
                                               Gate* gate) {
  if (options.threads == 0) options.threads = std::max(1U, std::thread::hardware_concurrency());
  Listeners listeners = TRY(Listen(options.Address(), static_cast<unsigned>(options.threads), options.option));
  return std::unique_ptr<Server>(new Server(std::move(options), router, log, gate, std::move(listeners)));
}

// All loops end before one of them is destroyed: each may still hand a connection to another.
Server::~Server() {
  for (const auto& loop : loops_) loop->Stop();
}

void Server::Start() {
  for (const auto& loop : loops_) loop->Start(loops_);
}

// Two phases. In the first, each loop tells its connections to end, and this thread waits for the last of them. In the
// second, after `patience`, connections are closed whatever they do. The second wait has no deadline, because closing
// waits for nobody: it ends when each loop has run its task. The count cannot grow in between: no listener is open.
void Server::Drain(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (const auto& loop : loops_) loop->Drain();
  MutexLock lock(state_->mutex);
  while (state_->open_connections > 0) {
    if (!state_->all_closed.WaitUntil(state_->mutex, deadline)) break;
  }
  if (state_->open_connections == 0) return;
  for (const auto& loop : loops_) loop->CutAll();
  while (state_->open_connections > 0) state_->all_closed.Wait(state_->mutex);
}

void Server::SetLimits(ServerLimits limits) {
  state_->max_connections = limits.max_connections;
  state_->idle_timeout = limits.idle_timeout;
}

void Server::SetTls(std::shared_ptr<const TlsContext> context) { state_->tls.Set(std::move(context)); }

void Server::SetHeaders(const std::vector<std::pair<std::string, std::string>>& headers) {
  std::string text;
  for (const auto& [name, value] : headers) AppendHeader(name, value, text);
  state_->headers.Set(std::move(text));
}

MemoryBudget& Server::memory() { return state_->budget; }

bool Server::Responds(std::chrono::milliseconds patience) const {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  std::vector<std::future<void>> answers;
  for (const auto& loop : loops_) {
    auto answer = std::make_shared<std::promise<void>>();
    answers.push_back(answer->get_future());
    loop->mailbox()->Post([answer = std::move(answer)](Loop&) { answer->set_value(); });
  }
  return std::ranges::all_of(answers, [&](const std::future<void>& answer) {
    return answer.wait_until(deadline) == std::future_status::ready;
  });
}

Server::Stats Server::stats() const {
  return {.open_connections = state_->open_connections,
          .in_flight = state_->in_flight,
          .buffered_bytes = state_->budget.used(),
          .rejected_connections = state_->rejected_connections,
          .given_up = state_->given_up,
          .tls_handshakes = state_->tls_handshakes,
          .tls_failures = state_->tls_failures};
}

}  // namespace mi::net
