// One TSDB: the queue of requests for it, bounded in bytes, and the connections that send them.
//
// The requests of one sender go over one connection, one after the other, because a TSDB may refuse samples that are
// older than those it has. Senders are spread over kLanes connections, each opened when it is first needed. A request
// is sent again after 5xx, 429, a time-out or a broken connection, with backoff or when Retry-After says, for as long
// as it is in the queue. Any other refusal drops the request, counted: its sender would drop it too.
//
// Threads: safe; one thread per lane. Ownership: shares requests; log, metrics and timer outlive it.
#pragma once

#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/deadline_timer.h"
#include "base/mutex.h"
#include "base/result.h"
#include "forward/forwarded_request.h"
#include "forward/options.h"
#include "net/client.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::forward {

struct ForwardDeps {
  telemetry::Logger& log;
  telemetry::Metrics& metrics;
};

// The metrics of one target. A target that is removed and added again goes on counting.
struct TargetMetrics {
  // `labels` distinguish the target from others.
  TargetMetrics(telemetry::Metrics& metrics, const telemetry::MetricLabels& labels);

  telemetry::Gauge& queue_bytes;
  telemetry::Counter& sent;
  telemetry::Counter& sent_bytes;
  telemetry::Counter& retries;
  telemetry::Counter& dropped_full;
  telemetry::Counter& dropped_refused;
  telemetry::Counter& dropped_stopped;
};

class Target : public std::enable_shared_from_this<Target> {
 public:
  static constexpr size_t kLanes = 16;

  using Request = std::shared_ptr<const ForwardedRequest>;
  using Deadline = std::chrono::steady_clock::time_point;
  using Admitted = std::move_only_function<void(Status)>;

  // `number` (from 1) distinguishes targets whose shown urls are equal, in metrics.
  Target(TargetOptions options, size_t number, net::Url url, ForwardDeps deps, DeadlineTimer& timer);
  ~Target();
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  const std::string& url() const { return url_text_; }
  // For metrics and the log: without the query, which may hold a token.
  static std::string Shown(const std::string& url) { return url.substr(0, url.find('?')); }
  size_t number() const { return number_; }
  WhenFull when_full() const EXCLUDES(mutex_);

  // Adds a request to the queue. If there is no room, drops what has waited longest, or the request itself if that
  // would not make room; both are counted. Never drops what is being sent: that would not free its memory.
  void Add(Request request) EXCLUDES(mutex_);
  // Like Add, but waits for room. Calls `admitted` once, with an error if there was no room until `deadline`. From any
  // thread, possibly before this returns.
  void AddWhenRoom(Request request, Deadline deadline, Admitted admitted) EXCLUDES(mutex_);

  // Counts a request that was dropped before it came here.
  void CountDropped() { metrics_.dropped_full.Add(); }

  // Keeps the queue, up to the new bound. Requires: the url stays the same.
  void Reconfigure(TargetOptions options) EXCLUDES(mutex_);

  // Takes no more requests. Those that wait for room are told kUnavailable.
  void Close() EXCLUDES(mutex_);
  // Waits until all is sent, or until `deadline`.
  void AwaitSent(Deadline deadline) EXCLUDES(mutex_);
  // Ends the threads. Drops what is left, counted. Idempotent.
  void Stop() EXCLUDES(mutex_);

 private:
  struct Queued {
    Request request;
    uint64_t number = 0;  // of arrival
    bool is_being_sent = false;
  };
  struct Lane {
    std::deque<Queued> queue;  // the first one is being sent, or waits to be sent again
    CondVar changed;
    std::unique_ptr<net::Client> client;  // made and replaced by the lane's thread, under the lock
    bool client_is_outdated = true;
    std::thread thread;
  };
  struct Waiter {
    Request request;
    Admitted admitted;
    DeadlineTimer::Id timer = 0;
  };
  struct Attempt {
    enum class Outcome : uint8_t { kSent, kRefused, kFailed } outcome;
    std::string what = {};  // for the log
    std::chrono::seconds retry_after{0};
  };

  // A request, and how it is sent.
  struct Sending {
    Request request;
    net::Client& client;
    std::string content_type;
    bool forward_credentials;
  };

  void Run(Lane& lane) EXCLUDES(mutex_);
  // Waits for the first request of the lane. Nothing: the target stops.
  std::optional<Sending> AwaitFirst(Lane& lane) EXCLUDES(mutex_);
  Attempt Send(const Sending& sending) const;
  // After an attempt to send the first request of the lane. Returns waiters that have room now, to be called.
  std::vector<Admitted> Settle(Lane& lane, Attempt::Outcome outcome) EXCLUDES(mutex_);
  void Pause(Lane& lane, Deadline until) EXCLUDES(mutex_);
  void Record(const Attempt& attempt, const ForwardedRequest& request) EXCLUDES(mutex_);
  void Expire(uint64_t waiter) EXCLUDES(mutex_);

  bool HasRoom(size_t bytes) const REQUIRES(mutex_) { return bytes_ + bytes <= options_.queue_bytes; }
  void MakeRoom(size_t bytes) REQUIRES(mutex_);
  void Enqueue(Request request) REQUIRES(mutex_);
  void Remove(Lane& lane, size_t index) REQUIRES(mutex_);
  // Moves waiters into the queue while there is room. The caller calls the result without the lock.
  std::vector<Admitted> AdmitWaiters() REQUIRES(mutex_);
  net::Client& ClientOf(Lane& lane) REQUIRES(mutex_);

  const std::string url_text_;
  const std::string shown_;
  const size_t number_;
  const net::Url url_;
  telemetry::Logger& log_;
  TargetMetrics metrics_;
  DeadlineTimer& timer_;

  mutable Mutex mutex_;
  CondVar sent_;
  TargetOptions options_ GUARDED_BY(mutex_);
  std::array<Lane, kLanes> lanes_ GUARDED_BY(mutex_);
  uint64_t bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t next_number_ GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, Waiter> waiters_ GUARDED_BY(mutex_);  // by number of arrival
  uint64_t refused_ GUARDED_BY(mutex_) = 0;
  uint64_t outages_ GUARDED_BY(mutex_) = 0;
  bool failing_ GUARDED_BY(mutex_) = false;
  bool closed_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace mi::forward
