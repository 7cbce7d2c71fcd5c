// Requests that wait for their answers, and how an answer made on any thread finds its way back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "net/http.h"

namespace mi::net {

class Connection;
class Loop;

// One request and its answer, in its connection's queue. Used again for later requests.
struct Exchange {
  uint64_t token = 0;  // names this use of it
  Connection* connection = nullptr;
  Exchange* next = nullptr;  // behind it in the connection's queue
  bool ready = false;
  bool http10 = false;
  bool head_only = false;
  bool close = false;  // the connection ends with this answer
  Response response;
};

// The exchanges of one thread, by token: a token outlives what it named, and then finds nothing.
// Threads: confined to one.
class ExchangeTable {
 public:
  Exchange& New(Connection& connection);
  void Free(Exchange& exchange);
  // Null when it is gone.
  Exchange* Find(uint64_t token) const;

 private:
  std::vector<std::unique_ptr<Exchange>> slots_;  // by the low half of the token
  std::vector<uint32_t> free_;
};

// The way into a loop for everybody else. Outlives the loop, for as long as somebody holds a reply.
// Threads: safe.
class Mailbox {
 public:
  explicit Mailbox(Loop& loop) : identity_(&loop), loop_(&loop) {}

  // Runs `task` on the loop's thread. Dropped when the loop has ended.
  void Post(std::move_only_function<void(Loop&)> task) EXCLUDES(mutex_);
  void Answer(uint64_t token, Response response);
  void Close() EXCLUDES(mutex_);

 private:
  Loop* const identity_;  // only for comparing, and for calls on the loop's own thread
  Mutex mutex_;
  Loop* loop_ GUARDED_BY(mutex_);  // null once the loop has ended
};

}  // namespace mi::net
