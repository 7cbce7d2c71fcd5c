// The answers of one connection, which are written in the order of its requests.
//
// Threads: confined to its loop's thread; streamed answers make their chunks on the server's workers.
// Ownership: owns the answers until they are written.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "net/http.h"
#include "net/output_queue.h"
#include "net/socket.h"

namespace mi::net {

class Loop;

class AnswerQueue {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // A request that is not answered yet, or whose answer is not written yet.
  struct Exchange {
    uint32_t number = 0;
    bool is_ready = false;
    bool is_http10 = false;
    bool is_head_only = false;
    bool holds_up_next = false;  // no further request is taken before this one's answer has been written
    bool closes = false;         // the connection ends with this answer
    Response response = {};
    std::shared_ptr<std::atomic<bool>> abandoned = {};  // shared with the handler; null once answered
  };

  // `connection`: its id in the loop.
  AnswerQueue(Loop& loop, uint32_t connection);
  AnswerQueue(const AnswerQueue&) = delete;
  AnswerQueue& operator=(const AnswerQueue&) = delete;
  ~AnswerQueue() { Clear(); }

  // A request that will be answered. The reference is valid until its answer is written.
  Exchange& Add();
  // Null if no request with that number is left.
  Exchange* Find(uint32_t number);
  // Requires: !exchange.is_ready.
  void SetAnswer(Exchange& exchange, Response response);
  // Tells the handlers that compute for long that nobody waits for their answers. They answer all the same.
  void Abandon();
  // A handler wants to know when nobody waits any more.
  bool may_be_abandoned() const;
  // Drops everything.
  void Clear();

  // Writes the answers that are ready, as far as the socket takes them. `is_finishing`: no request follows the last
  // one. Returns false if the socket fails.
  bool Write(Socket& socket, bool is_finishing);
  // Writes "100 Continue". Returns false if the socket fails. Requires: !awaits_answer().
  bool WriteContinue(Socket& socket);
  // The next chunk of the streamed answer in front (empty: its end), and the function that makes the one after it.
  void TakeChunk(std::string chunk, std::function<void(std::string&)> next);

  // A request is in the queue. (Part of its answer may have been written.)
  bool awaits_answer() const { return !exchanges_.empty(); }
  // Everything is written.
  bool empty() const { return exchanges_.empty() && output_.empty(); }
  // A further request may be taken.
  bool has_room() const;
  // The end of an answer that is being written is the end of the connection.
  bool ends_connection() const { return ends_connection_; }
  // Of memory: the answers, and what is kept of requests that wait.
  size_t held_bytes() const;
  size_t answer_bytes() const { return waiting_bytes_ + output_.held_bytes(); }
  // The peer takes no more of the output.
  std::optional<TimePoint> blocked_since() const { return blocked_since_; }
  TimePoint idle_since() const { return idle_since_; }  // there has been no request since then

 private:
  // The answer in front, if it is sent in chunks.
  enum class Stream { kNone, kNeedsChunk, kAwaitsChunk };

  void WriteFront(bool is_finishing);
  bool Flush(Socket& socket);
  void AskForChunk();
  void PopFront();

  Loop& loop_;
  const uint32_t connection_;
  std::list<Exchange> exchanges_;  // oldest first
  uint32_t next_number_ = 0;
  size_t waiting_bytes_ = 0;  // of the answers in exchanges_
  OutputQueue output_;
  Stream stream_ = Stream::kNone;
  bool ends_connection_ = false;
  std::optional<TimePoint> blocked_since_;
  size_t taken_ = 0;  // bytes that the peer took since then
  TimePoint idle_since_ = std::chrono::steady_clock::now();
};

}  // namespace mi::net
