// One thread of the server: an epoll loop, a listening socket, and the connections that it serves.
//
// The way back of an answer, from whatever thread makes it:
//
//   Reply ──► Mailbox::Answer ──► Loop::Answer ──► Connection::Answer ──► written in the order of the requests
//                   │                  ▲
//                   └── other thread: posted, the loop wakes up
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/file_descriptor.h"
#include "base/mutex.h"
#include "net/body_buffer.h"
#include "net/connection.h"
#include "net/gate.h"
#include "net/http.h"
#include "net/response_text.h"

namespace mi::net {

struct ServerState;

// The way into a loop for other threads. Outlives the loop for as long as somebody holds a reply.
// Threads: safe.
class Mailbox {
 public:
  using Task = std::move_only_function<void(Loop&)>;

  Mailbox();

  // Runs `task` on the loop's thread. Drops it if the loop has ended.
  void Post(Task task) EXCLUDES(mutex_);
  // Answers a request of a connection. At once if called on the loop's thread.
  void Answer(uint32_t connection, uint32_t number, Response response);

  // For the loop.
  std::vector<Task> TakeAll() EXCLUDES(mutex_);
  void Close() EXCLUDES(mutex_);
  int fd() const { return wakeup_.get(); }  // readable while tasks wait

 private:
  const FileDescriptor wakeup_;
  Mutex mutex_;
  std::vector<Task> tasks_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
};

// Threads: Start, Drain, CutAll, Stop and connection_count from any; everything else on its own thread.
class Loop {
 public:
  Loop(ServerState& server, FileDescriptor listener);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // `all`: every loop of the server, including this one. A new connection goes to the one that has the fewest.
  void Start(std::span<const std::unique_ptr<Loop>> all);
  // Takes what waits in the backlog, stops listening, lets connections end. Returns once all of them know.
  void Drain();
  void CutAll();
  void Stop();
  size_t connection_count() const { return connection_count_.load(std::memory_order_relaxed); }

  const std::shared_ptr<Mailbox>& mailbox() { return mailbox_; }
  void Answer(uint32_t connection, uint32_t number, Response response);
  void OnChunk(uint32_t connection, std::string chunk, std::function<void(std::string&)> next, bool failed);
  void OnVerdict(uint32_t connection, Gate::Verdict verdict);

  // For connections.
  ServerState& server() { return server_; }
  BlockPool& pool() { return pool_; }
  std::string& scratch() { return scratch_; }  // for one step of a connection
  CommonHeaders Headers();                     // valid until the next call
  void Watch(int socket, uint32_t connection, uint32_t events);
  // Makes connections give up what waits for a peer, the longest wait first, if memory is short or has no `bytes` left
  // for a connection of this address. Does nothing if `bytes` never fit.
  void MakeRoom(size_t bytes, std::string_view for_peer);
  void RunSoon(uint32_t connection) { due_.push_back(connection); }
  // The connection has closed: it is destroyed at the end of the turn.
  void Forget(uint32_t connection) { closed_.push_back(connection); }

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  void Run();
  void RunTasks();
  void RunDue();
  void Sweep(TimePoint now);
  void DestroyClosed();
  int WaitMs(TimePoint now) const;
  // Null if the connection has closed.
  Connection* Find(uint32_t connection) const;

  struct SlowConnection {
    Connection* connection;
    Connection::Wait wait;
    bool over_share;
  };
  std::vector<SlowConnection> FindSlow(const std::function<size_t(const Connection&)>& weight,
                                       std::string_view for_peer) const;
  // Bounds the searches that find nothing, however many addresses ask (loop.cc).
  class VainSearches {
   public:
    // Whether a search for this address would find no more than the last ones.
    bool Covers(TimePoint now, std::string_view for_peer) const {
      return now < until_ && (!peer_ || for_peer == *peer_);
    }
    void Note(TimePoint now, std::string_view for_peer);

   private:
    TimePoint until_;
    std::optional<std::string> peer_;  // whom the searches were for; nothing: anybody
  };
  bool CloseSlow(std::string_view for_peer);
  bool MayReplace(const std::string& peer) const;

  void AcceptPending();
  bool AcceptAndRefuse();
  void WarnOfAccepting(int error);
  void PauseAccepting(int error);
  void Place(FileDescriptor socket, std::string peer);
  void Adopt(FileDescriptor socket, std::string peer, Connection::Purpose purpose);
  void ListenTo(uint32_t events);

  ServerState& server_;
  const FileDescriptor epoll_;
  FileDescriptor listener_;
  const std::shared_ptr<Mailbox> mailbox_;
  std::span<const std::unique_ptr<Loop>> all_;
  TimePoint next_sweep_;
  TimePoint next_trim_;                       // of the pool
  VainSearches room_searches_;                // for memory
  VainSearches place_searches_;               // for connections to close
  std::optional<TimePoint> accepting_again_;  // accepting is paused until then
  FileDescriptor spare_;                      // given up when no descriptor is free, to accept one connection
  TimePoint last_accept_warning_;

  BlockPool pool_;
  std::string scratch_;
  std::vector<uint32_t> due_;     // connections to run
  std::vector<uint32_t> closed_;  // connections to destroy
  std::unordered_map<uint32_t, std::unique_ptr<Connection>> connections_;
  std::unordered_map<std::string, size_t> served_;  // connections by peer, without those that are being rejected
  uint32_t last_id_ = 0;
  std::atomic<size_t> connection_count_{0};  // with those that are on their way from another loop
  size_t rejected_open_ = 0;
  bool draining_ = false;
  bool stopping_ = false;
  int64_t date_second_ = 0;
  std::string date_;
  std::shared_ptr<const std::string> added_headers_;
  std::thread thread_;
};

}  // namespace mi::net
