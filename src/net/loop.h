// One thread of the server: an event loop, a listening socket, and the connections that fell to it.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "net/arriving_request.h"
#include "net/body_buffer.h"
#include "net/exchange.h"
#include "net/listener.h"
#include "net/server_state.h"

namespace mi::net {

using Tcp = boost::asio::ip::tcp;

// Threads: Start, Drain, CutAll, Stop and connection_count from any; everything else on its own thread.
class Loop {
 public:
  Loop(ServerState& state, FileDescriptor listener, bool ipv6);
  ~Loop();

  // `all`: every loop of the server, this one too; a new connection goes to the one that has the fewest.
  void Start(std::span<const std::unique_ptr<Loop>> all);
  // Takes what waits in the backlog, listens no longer, lets connections end. Returns once all of them know.
  void Drain();
  void CutAll();
  void Stop();
  size_t connection_count() const { return connection_count_.load(std::memory_order_relaxed); }

  bool IsCurrent() const;

  boost::asio::io_context& context() { return context_; }
  ServerState& state() { return state_; }
  const std::shared_ptr<Mailbox>& mailbox() { return mailbox_; }
  BlockPool& pool() { return pool_; }
  ExchangeTable& exchanges() { return exchanges_; }
  std::unique_ptr<ArrivingRequest> NewArrival();
  void EndArrival(std::unique_ptr<ArrivingRequest> arrival);
  std::string_view HttpDate();

  void Answer(uint64_t token, Response response);
  void OnChunk(uint64_t token, std::string chunk, std::function<void(std::string&)> next, bool failed);
  void Remove(Connection& connection);

 private:
  using Errno = int;

  void Run();
  void AwaitConnection();
  void AcceptPending();
  void AcceptFailed(Errno error);
  void Place(FileDescriptor socket, std::string peer);
  void Adopt(FileDescriptor socket, std::string peer, bool rejected);
  void AwaitSweep();
  void CloseListener();

  ServerState& state_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::shared_ptr<Mailbox> mailbox_;
  Tcp::acceptor acceptor_;
  const bool ipv6_;
  boost::asio::steady_timer sweep_timer_;
  boost::asio::steady_timer accept_timer_;
  std::chrono::steady_clock::time_point last_accept_warning_;
  std::span<const std::unique_ptr<Loop>> all_;

  BlockPool pool_;
  std::vector<std::unique_ptr<ArrivingRequest>> spare_arrivals_;
  ExchangeTable exchanges_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::atomic<size_t> connection_count_{0};
  size_t rejected_open_ = 0;
  bool draining_ = false;
  bool stopping_ = false;
  int64_t date_second_ = 0;
  std::string date_;
  std::thread thread_;
};

}  // namespace mi::net
