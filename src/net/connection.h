// One connection: reads requests, hands them to handlers, writes the answers in the order of the requests.
//
// What it holds while idle is this object and one wait for readability; buffers belong to its thread.
// Threads: confined to its loop's.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "net/arriving_request.h"
#include "net/exchange.h"
#include "net/loop.h"
#include "net/output_queue.h"

namespace mi::net {

class Connection {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  enum class Purpose { kServe, kReject };  // kReject: says 503 and goes

  Connection(Loop& loop, Tcp::socket socket, std::string peer, Purpose purpose);
  ~Connection();

  enum class Begin { kOpen, kLastCall };  // kLastCall: the loop drains; what has come in by now is still taken

  // May destroy the object: the peer may have gone already.
  void Start(Begin begin);
  // An exchange of this connection has become ready.
  void OnAnswer();
  void CheckTimeouts(TimePoint now);
  // Answers what is in flight or half arrived, then closes; at once when there is nothing. May destroy the object.
  void BeginDrain();
  // Requires: not called from inside of this connection. The object may be gone afterwards.
  void Close();
  // The next chunk of the answer in front, or its end; `next` makes the one after.
  void OnChunk(std::string chunk, std::function<void(std::string&)> next, bool failed);

  Purpose purpose() const { return purpose_; }
  size_t index() const { return index_; }
  void set_index(size_t index) { index_ = index; }

 private:
  // What the next bytes are.
  enum class Phase {
    kHead,
    kBody,         // of a declared length
    kChunked,      // a chunked body
    kSkip,         // a refused body of a declared length
    kSkipChunked,  // a refused chunked body
    kStopped,      // nothing more is read: the last answer is on its way
    kLinger,       // everything is answered; what the peer still sends is dropped until it closes
  };
  enum class Step { kAgain, kNeedInput, kBlocked };

  // Reading, in connection_read.cc.
  bool Read();
  size_t ReadInto(char* body, size_t room);
  void OnEnd();
  bool WantsInput() const;
  bool MayTakeRequest() const;
  Step Consume();
  Step ConsumeHead();
  Step ConsumeBody();
  Step ConsumeChunked();
  Step ConsumeSkipped();
  Step ConsumeSkippedChunks();
  void DropLingering();
  std::string_view input() const { return {input_.bytes.get() + input_begin_, input_end_ - input_begin_}; }
  void DropInput(size_t count);
  bool MakeInputRoom();

  // Deciding, in connection_request.cc.
  void OnHead();
  void ExpectBody();
  bool GrowBody(size_t wanted);
  Response NoMemory() const;
  void RefuseTooLarge();
  void Refuse(Response response);                   // the body that may follow is thrown away
  void Abort(int status, std::string_view reason);  // nothing sensible can follow
  void Dispatch();
  void NextRequest(bool last);

  // Writing, in connection_write.cc.
  Exchange& Enqueue();
  void PopFront();
  void WriteAnswers();
  void WriteFront();
  void Flush();
  void AskForChunk();
  void FinishWhenDone();

  // Running, in connection.cc.
  void Pump();
  void TakeTurn();
  void ReadAndDispatch();
  void HoldInput();
  void RefuseInput();
  void AwaitReadable();
  void AwaitWritable();
  void Yield();
  void Shut();
  bool EndIfClosed();

  Loop& loop_;
  ServerState& state_;
  Tcp::socket socket_;
  const std::string peer_;
  const Purpose purpose_;
  Phase phase_ = Phase::kHead;
  bool busy_ = false;  // inside of Pump
  bool closed_ = false;
  bool peer_done_ = false;  // it sends no more
  bool last_call_ = false;  // draining: what has come in by now is still taken
  bool draining_ = false;   // draining: nothing more is taken
  bool linger_ = false;     // when all is answered, wait for the peer to close
  bool await_readable_ = false;
  bool await_writable_ = false;
  bool yielded_ = false;
  bool socket_drained_ = false;  // the last read took all there was
  bool streaming_ = false;       // the front exchange is sent in chunks
  bool chunk_asked_ = false;
  bool write_blocked_ = false;
  size_t index_ = 0;
  int waits_ = 0;  // outstanding handlers that refer to this object

  Block input_;
  size_t input_begin_ = 0;
  size_t input_end_ = 0;
  size_t input_held_ = 0;  // taken from the budget while waiting with unread input
  std::unique_ptr<ArrivingRequest> arriving_;

  // The requests that are not answered yet, oldest first, linked by Exchange::next.
  Exchange* first_ = nullptr;
  Exchange* last_ = nullptr;
  size_t exchange_count_ = 0;

  OutputQueue output_;
  size_t taken_ = 0;  // bytes that the peer took since blocked_since_
  TimePoint blocked_since_;
  TimePoint idle_since_;
  uint64_t lingered_ = 0;
};

}  // namespace mi::net
