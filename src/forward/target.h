// One TSDB: what waits for it, bounded in bytes, and the connections that bring it there.
//
// Requests of one sender go over one connection, one after the other: a TSDB may refuse samples that are older than
// those it has. Senders are spread over kLanes connections, each opened when it is first needed. A request is tried
// again on 5xx, 429, time-outs and broken connections, with jittered backoff or when Retry-After says, for as long as
// it is in the queue; any other refusal drops it, counted, for its sender would do the same.
//
// Threads: safe; a thread a lane. Ownership: shares requests; log and metrics outlive it.
#pragma once

#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/format.h"
#include "base/mutex.h"
#include "base/result.h"
#include "forward/options.h"
#include "forward/passed_request.h"
#include "net/client.h"

namespace mi::forward {

// Of one target; counts go on when it comes back.
struct TargetMetrics {
  // `labels` tell it from others.
  TargetMetrics(telemetry::Metrics& metrics, const telemetry::MetricLabels& labels);

  telemetry::Gauge& queue_bytes;
  telemetry::Counter& sent;
  telemetry::Counter& sent_bytes;
  telemetry::Counter& retries;
  telemetry::Counter& dropped_full;
  telemetry::Counter& dropped_refused;
  telemetry::Counter& dropped_stopped;
  telemetry::Counter& dropped_exhausted;  // no memory or no thread to keep it with
};

class Target {
 public:
  static constexpr size_t kLanes = 16;

  using Request = std::shared_ptr<const PassedRequest>;
  using Deadline = std::chrono::steady_clock::time_point;
  using Admitted = std::move_only_function<void(Status)>;

  // `number` tells apart, in metrics, targets that differ only in what is not shown of their urls, from 1.
  // kInvalid: the url is none.
  static Result<std::shared_ptr<Target>> Create(TargetOptions options, ForwardDeps deps, size_t number = 1);
  Target(TargetOptions options, size_t number, net::Url url, std::shared_ptr<const net::TlsContext> tls,
         ForwardDeps deps);
  ~Target();
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  const std::string& url() const { return url_text_; }
  // As in metrics and the log: without the query, which may carry a token.
  static std::string Shown(const std::string& url) { return url.substr(0, url.find('?')); }
  size_t number() const { return number_; }
  WhenFull when_full() const EXCLUDES(mutex_);

  // Puts a request into the queue; drops what waited longest where there is no room, or the request itself where that
  // does not help. Counts what is dropped. Never what is on the wire: its memory would not be free.
  void Add(Request request) EXCLUDES(mutex_);
  // Waits for room instead: `admitted` is called once, with an error where there was none until `deadline`. From any
  // thread, possibly before this returns.
  void Admit(Request request, Deadline deadline, Admitted admitted) EXCLUDES(mutex_);

  // A request that could not even be kept until it got here.
  void CountDropped() { metrics_.dropped_full.Add(); }

  // Tells those whose deadline has passed; when the next one does.
  std::optional<Deadline> Expire(Deadline now) EXCLUDES(mutex_);

  // The url stays. What is in the queue is kept, up to the new bound.
  void Reconfigure(TargetOptions options) EXCLUDES(mutex_);

  // Takes no more; whoever waits for room is told kUnavailable.
  void Close() EXCLUDES(mutex_);
  // Waits until all is sent, or until `deadline`; false: something is left.
  bool AwaitSent(Deadline deadline) EXCLUDES(mutex_);
  // Ends what is under way; drops what is left, counted.
  void Stop() EXCLUDES(mutex_);

 private:
  struct Queued {
    Request request;
    uint64_t number = 0;  // of arrival
    bool on_the_wire = false;
  };
  struct Lane {
    std::deque<Queued> queue;  // the first one is being sent, or waits to be sent again
    CondVar changed;
    std::unique_ptr<net::Client> client;  // made and replaced by the lane's thread, under the lock
    uint64_t options_number = 0;          // what it was made with
    std::thread thread;
  };
  struct Waiter {
    Request request;
    Deadline deadline;
    Admitted admitted;
  };
  using Waiters = std::list<Waiter>;
  // What came of sending a request once.
  struct Attempt {
    enum class Outcome : uint8_t { kSent, kRefused, kFailed } outcome;
    std::string what;                                   // for the log
    std::optional<std::chrono::milliseconds> wait_for;  // Retry-After
  };

  void Run(Lane& lane) EXCLUDES(mutex_);
  // Never throws: what has no memory is tried again.
  Attempt Try(Lane& lane, const PassedRequest& request) EXCLUDES(mutex_);
  Attempt Send(net::Client& client, const PassedRequest& request, const std::string& content_type) const;
  // Takes the first request of a lane off it and makes the room known.
  void Finish(Lane& lane) EXCLUDES(mutex_);
  void Note(const Attempt& attempt, const PassedRequest& request) EXCLUDES(mutex_);
  template <typename... Args>
  void Log(telemetry::Level level, format_string<Args...> text, Args&&... args) const noexcept;

  // Drops the request, counted, where there is no memory or no thread for it.
  void Enqueue(Request request) REQUIRES(mutex_);
  bool HasRoom(size_t bytes) const REQUIRES(mutex_) { return bytes_ + bytes <= options_.queue_bytes; }
  void MakeRoom(size_t bytes) REQUIRES(mutex_);
  void Remove(Lane& lane, size_t index) REQUIRES(mutex_);
  // Those for whom there is room now: they are in the queue, and to be told without the lock.
  Waiters AdmitWaiting() REQUIRES(mutex_);
  net::Client& ClientOf(Lane& lane) REQUIRES(mutex_);

  const std::string url_text_;
  const size_t number_;
  const net::Url url_;
  const std::shared_ptr<const net::TlsContext> tls_;  // null: plain
  telemetry::Logger& log_;
  TargetMetrics metrics_;

  mutable Mutex mutex_;
  CondVar sent_;
  TargetOptions options_ GUARDED_BY(mutex_);
  uint64_t options_number_ GUARDED_BY(mutex_) = 1;
  std::array<Lane, kLanes> lanes_ GUARDED_BY(mutex_);
  uint64_t bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t next_number_ GUARDED_BY(mutex_) = 0;
  Waiters waiters_ GUARDED_BY(mutex_);
  uint64_t refused_ GUARDED_BY(mutex_) = 0;
  uint64_t exhausted_ GUARDED_BY(mutex_) = 0;
  uint64_t outages_ GUARDED_BY(mutex_) = 0;
  bool failing_ GUARDED_BY(mutex_) = false;
  bool closed_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace mi::forward
