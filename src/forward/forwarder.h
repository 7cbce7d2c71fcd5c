// Forwards requests to TSDBs unchanged: the body as it came, and the sender's own headers (forwarded_request.h).
//
// A body is copied once and shared by all targets. Each target has its own queue, bounded in bytes (target.h). A TSDB
// that is slow or away delays nobody, unless it is configured to block.
//
// Threads: safe; never blocks, except Drain and Stop. Ownership: deps outlive it; it outlives what Prepare() returned.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline_timer.h"
#include "base/mutex.h"
#include "base/result.h"
#include "forward/options.h"
#include "forward/target.h"
#include "net/http.h"

namespace mi::forward {

class Forwarder {
 public:
  using Done = std::move_only_function<void(Status)>;
  using Forward = std::move_only_function<void(std::chrono::steady_clock::time_point deadline, Done done)>;

  // kInvalid: a malformed url. Without targets, nothing is forwarded.
  static Result<std::unique_ptr<Forwarder>> Create(const std::vector<TargetOptions>& targets, ForwardDeps deps);
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  // Copies the request, to be forwarded later (receive/forwarder.h): call the result once, or destroy it. Empty if
  // there is no target. `done` gets an error if a target that blocks had no room until `deadline`. Then the targets
  // that do not block did not get the request; those that block and had room did.
  // `tenant`: of the request; '' is the default one.
  Forward Prepare(const net::Request& request, std::string_view tenant);

  // Forwards a body of our own, such as OpenTSDB points, in any order. Drops what has waited longest if there is no
  // room.
  void Send(std::string body);

  // Targets are identified by url. One that stays keeps its queue; one that goes drops its queue, counted. An error
  // changes nothing.
  Status Reconfigure(const std::vector<TargetOptions>& targets);

  // Tells those who wait for room that there is none, as their deadlines would.
  void ExpireAll() { timer_.FireAll(); }
  // Takes no more requests, and sends what is queued until `patience` is over.
  void Drain(std::chrono::milliseconds patience);
  // Drops what is left, counted, and ends the threads. Idempotent.
  void Stop();

 private:
  using Targets = std::vector<std::shared_ptr<Target>>;
  class Admission;

  explicit Forwarder(ForwardDeps deps) : deps_(deps) {}
  std::shared_ptr<const Targets> Current() const EXCLUDES(mutex_);
  void ForwardNow(const Target::Request& request, Target::Deadline deadline, Done done);
  void Drop(Done done);

  const ForwardDeps deps_;
  DeadlineTimer timer_;                           // for requests that wait for room
  std::atomic<uint64_t> prepared_bytes_ = 0;      // of requests that wait to become durable: not in a queue yet
  std::atomic<uint64_t> max_prepared_bytes_ = 0;  // the sum of all queues
  std::atomic<size_t> next_sender_ = 0;
  mutable Mutex mutex_;
  std::shared_ptr<const Targets> targets_ GUARDED_BY(mutex_) = std::make_shared<const Targets>();
};

}  // namespace mi::forward
