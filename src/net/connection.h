// One connection: reads requests, passes them to handlers, and writes the answers in the order of the requests.
//
// While idle it holds nothing but this object, and its session if it speaks TLS: buffers belong to its thread and are
// shared by all connections.
// Threads: confined to its loop's thread. Ownership: the loop owns it, and destroys it once it is closed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/file_descriptor.h"
#include "net/answer_queue.h"
#include "net/body_buffer.h"
#include "net/gate.h"
#include "net/http.h"
#include "net/input_buffer.h"
#include "net/request_parser.h"
#include "net/socket.h"

namespace mi::net {

class Loop;
struct ServerState;

// A request of which the first byte has arrived and the last has not. An idle connection has none.
struct ArrivingRequest {
  ArrivingRequest(uint32_t max_header_bytes, BlockPool& pool, MemoryBudget& budget)
      : parser(max_header_bytes), body(pool, budget) {}

  Request& request() { return parser.request(); }

  RequestParser parser;
  BodyBuffer body;
  const Router::Endpoint* endpoint = nullptr;
  std::shared_ptr<const Caller> caller;  // what request().caller() points to
  HeadDecision decision;
  uint64_t body_bytes = 0;    // the declared length, or what has arrived of a chunked body
  uint64_t skipped = 0;       // bytes of the body that were dropped
  bool continue_due = false;  // the sender waits for "100 Continue" before it sends the body
  bool is_last = false;       // the connection ends after this request
  const std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
};

class Connection {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  enum class Purpose { kServe, kReject };  // kReject: answers 503 and closes

  // `id` is unique in the loop.
  Connection(Loop& loop, FileDescriptor socket, uint32_t id, std::string peer, Purpose purpose);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Does what can be done without waiting: reads, dispatches, writes.
  void Run();
  // The socket is ready; `events` are epoll's.
  void OnReady(uint32_t events);
  // The answer to the request with that number. Ignored if there is none that waits.
  void Answer(uint32_t number, Response response);
  // The next chunk of the streamed answer (empty: its end), and the function that makes the one after it.
  void OnChunk(std::string chunk, std::function<void(std::string&)> next, bool failed);
  // Of the gate, about the request that arrives. Ignored if that has been given up.
  void OnVerdict(Gate::Verdict verdict);
  void CheckTimeouts(TimePoint now);
  // What waits for the peer, and since when. Nothing while the connection is at work or waits for a handler.
  struct Wait {
    enum class Kind { kHandshake, kIdle, kArriving, kUnread, kLingering };
    Kind kind;
    TimePoint since;
  };
  std::optional<Wait> wait() const;
  // Of memory: what counts towards the budget.
  size_t held_bytes() const { return held_ + (arriving_ ? arriving_->body.held_bytes() : 0); }
  // Gives back the part of a body's memory into which nothing has arrived yet.
  void ShrinkBody();
  // Memory is short: refuses the request that arrives, or cuts off the answer that is not read. Requires: wait().
  void GiveUp();
  // Takes the requests that have arrived by now, answers them and what is in flight, then closes.
  void BeginDrain();
  void Close();

  Purpose purpose() const { return purpose_; }
  const std::string& peer() const { return peer_; }
  bool is_closed() const { return state_ == State::kClosed; }

 private:
  // Drawn in connection.cc.
  enum class State {
    kHead,           // the next bytes are a head
    kAtGate,         // a head has arrived, and the gate's verdict comes later; nothing is read
    kBody,           // … a body of a declared length
    kChunkedBody,    // … a chunked body
    kSkippedBody,    // … a refused body of a declared length
    kSkippedChunks,  // … a refused chunked body
    kFinishing,      // nothing more is read; the last answers are on their way
    kLingering,      // everything is written; what arrives is dropped until the peer closes
    kClosed,
  };
  enum class Step { kAgain, kNeedInput, kBlocked };

  void ReadAndDispatch();
  bool Read(bool& socket_is_empty);
  size_t Receive(char* body, size_t room, bool& socket_is_empty);
  void NoteHandshake(bool has_failed);
  void OnEndOfInput();
  bool AwaitsHangUp() const;
  bool MayTakeRequest() const;
  bool WantsInput() const;
  size_t BytesToHold() const;
  bool Hold(size_t bytes);
  void HoldWhatWaits();

  Step Consume();
  Step ConsumeHead();
  Step ConsumeBody();
  Step ConsumeChunks();
  Step ConsumeSkippedBody();
  Step ConsumeSkippedChunks();
  Step DropLingering();

  void OnHead();
  void PassGate();
  void TakeVerdict(Gate::Verdict verdict);
  void ExpectBody();
  bool GrowBody();
  bool GrowBody(size_t wanted, size_t least);
  Response OutOfBudget() const;
  void RefuseTooLarge();
  void Refuse(Response response);
  void Abort(int status, std::string_view reason);
  void AbortLargeHeader();
  void EndArriving(Response response);
  void Dispatch();
  void NextRequest(bool is_last);
  template <typename Call>
  bool CallHandler(const Call& call);

  AnswerQueue::Exchange& Enqueue();
  void EnqueueLast(Response response);
  void WriteAnswers();
  void FinishWhenDone();

  Loop& loop_;
  ServerState& server_;
  Socket socket_;
  const uint32_t id_;
  const std::string peer_;
  const Purpose purpose_;

  State state_ = State::kHead;
  bool running_ = false;       // inside Run(): a handler may answer at once
  bool draining_ = false;      // takes no more requests
  bool peer_is_done_ = false;  // the peer sends no more
  uint32_t interest_;          // what epoll watches for

  InputBuffer input_;
  std::unique_ptr<ArrivingRequest> arriving_;
  AnswerQueue answers_;
  size_t held_ = 0;  // bytes taken from the budget for input, heads and answers; bodies take theirs themselves
  TimePoint lingering_since_;
  uint64_t lingered_ = 0;  // bytes dropped while lingering
};

}  // namespace mi::net
