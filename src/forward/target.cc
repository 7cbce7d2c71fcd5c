#include "forward/target.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <iterator>
#include <utility>

#include "base/backoff.h"
#include "base/format.h"
#include "base/quote.h"

namespace mi::forward {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFirstPause{100};
constexpr milliseconds kLongestPause{10'000};
constexpr size_t kShownBytes = 300;  // of an answer, in the log
constexpr std::string_view kDropped = "forward_dropped_total";
constexpr std::string_view kDroppedHelp =
    "Requests that were not forwarded: the queue was full, the TSDB refused them, or the service or target ended.";

telemetry::MetricLabels With(telemetry::MetricLabels labels, const std::string& reason) {
  labels.emplace_back("reason", reason);
  return labels;
}

std::string Describe(const net::ClientResponse& response) {
  std::string text = format("answers {}", response.status);
  const std::string_view line = std::string_view(response.body).substr(0, response.body.find('\n'));
  if (line.empty()) return text;
  text += ": ";
  AppendPrintable(line.substr(0, kShownBytes), text);
  return text;
}

}  // namespace

TargetMetrics::TargetMetrics(telemetry::Metrics& metrics, const telemetry::MetricLabels& labels)
    : queue_bytes(metrics.GetGauge("forward_queue_bytes", "Bytes of requests that wait for a TSDB.", labels)),
      sent(metrics.GetCounter("forward_sent_total", "Requests that a TSDB has taken.", labels)),
      sent_bytes(metrics.GetCounter("forward_sent_bytes_total", "Bytes of the bodies of these requests.", labels)),
      retries(metrics.GetCounter("forward_retries_total", "Attempts that failed and were repeated.", labels)),
      dropped_full(metrics.GetCounter(kDropped, kDroppedHelp, With(labels, "queue_full"))),
      dropped_refused(metrics.GetCounter(kDropped, kDroppedHelp, With(labels, "refused"))),
      dropped_stopped(metrics.GetCounter(kDropped, kDroppedHelp, With(labels, "stopped"))) {}

Target::Target(TargetOptions options, size_t number, net::Url url, ForwardDeps deps, DeadlineTimer& timer)
    : url_text_(options.url),
      shown_(Shown(options.url)),
      number_(number),
      url_(std::move(url)),
      log_(deps.log),
      metrics_(deps.metrics, {{"url", shown_}, {"target", format("{}", number)}}),
      timer_(timer),
      options_(std::move(options)) {
  MutexLock lock(mutex_);
  for (Lane& lane : lanes_) lane.thread = std::thread([this, &lane] { Run(lane); });
}

Target::~Target() { Stop(); }

WhenFull Target::when_full() const {
  MutexLock lock(mutex_);
  return options_.when_full;
}

void Target::Add(Request request) {
  MutexLock lock(mutex_);
  if (closed_) return metrics_.dropped_stopped.Add();
  MakeRoom(request->bytes());
  if (!HasRoom(request->bytes())) return metrics_.dropped_full.Add();
  Enqueue(std::move(request));
}

// A request that has no room waits in waiters_: outside of the queue, and on no thread. Waiters are admitted in the
// order of arrival, so a small one does not overtake a large one. Three things end a wait: room (AdmitWaiters), the
// deadline (Expire) and Close. Each takes the waiter out of the map under the lock and calls `admitted` after it, so
// exactly one of them calls. Locks are taken in the order target, timer: the timer calls Expire without its own.
void Target::AddWhenRoom(Request request, Deadline deadline, Admitted admitted) {
  Status outcome;
  {
    MutexLock lock(mutex_);
    if (closed_) {
      outcome = Fail(Errc::kUnavailable, format("the service is stopping"));
    } else if (request->bytes() > options_.queue_bytes) {
      metrics_.dropped_full.Add();  // there will never be room, and its sender would repeat it forever
    } else if (waiters_.empty() && HasRoom(request->bytes())) {
      Enqueue(std::move(request));
    } else {
      const uint64_t number = next_number_++;
      const auto timer = timer_.At(deadline, [weak = weak_from_this(), number] {
        if (const auto target = weak.lock()) target->Expire(number);
      });
      waiters_.emplace(number, Waiter{std::move(request), std::move(admitted), timer});
      return;
    }
  }
  admitted(std::move(outcome));
}

void Target::Expire(uint64_t waiter) {
  Admitted expired;
  std::vector<Admitted> admitted;
  {
    MutexLock lock(mutex_);
    const auto found = waiters_.find(waiter);
    if (found == waiters_.end()) return;
    expired = std::move(found->second.admitted);
    waiters_.erase(found);
    admitted = AdmitWaiters();  // smaller requests may have waited only for this one to go first
  }
  expired(Fail(Errc::kOverloaded, format("the queue for {} is full, and it is told to block "
                                         "(remote.write.queue_bytes, remote.write.when_full)",
                                         shown_)));
  for (Admitted& one : admitted) one({});
}

void Target::Reconfigure(TargetOptions options) {
  std::vector<Admitted> admitted;
  {
    MutexLock lock(mutex_);
    assert(options.url == url_text_);
    options_ = std::move(options);
    for (Lane& lane : lanes_) lane.client_is_outdated = true;
    MakeRoom(0);
    admitted = AdmitWaiters();
  }
  for (Admitted& one : admitted) one({});
}

void Target::Close() {
  std::map<uint64_t, Waiter> waiters;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    waiters.swap(waiters_);
  }
  for (auto& [number, waiter] : waiters) {
    timer_.Cancel(waiter.timer);
    waiter.admitted(Fail(Errc::kUnavailable, format("the service is stopping")));
  }
}

void Target::AwaitSent(Deadline deadline) {
  MutexLock lock(mutex_);
  while (bytes_ > 0 && sent_.WaitUntil(mutex_, deadline)) {
  }
}

void Target::Stop() {
  Close();
  std::array<std::thread, kLanes> threads;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    for (size_t i = 0; i < kLanes; ++i) {
      if (lanes_[i].client != nullptr) lanes_[i].client->Cancel();
      lanes_[i].changed.NotifyAll();
      threads[i].swap(lanes_[i].thread);
    }
  }
  for (std::thread& thread : threads) {
    if (thread.joinable()) thread.join();
  }
  MutexLock lock(mutex_);
  for (Lane& lane : lanes_) {
    metrics_.dropped_stopped.Add(static_cast<double>(lane.queue.size()));
    lane.queue.clear();
  }
  bytes_ = 0;
  metrics_.queue_bytes.Set(0);
}

void Target::Enqueue(Request request) {
  Lane& lane = lanes_[request->sender % kLanes];
  bytes_ += request->bytes();
  metrics_.queue_bytes.Set(static_cast<double>(bytes_));
  lane.queue.push_back({.request = std::move(request), .number = next_number_++});
  lane.changed.NotifyOne();
}

// Drops the oldest request of all lanes until there is room. It is the first of its lane, or the second if the first is
// being sent. Costs one look at each lane per dropped request.
void Target::MakeRoom(size_t bytes) {
  if (bytes > options_.queue_bytes) return;
  while (!HasRoom(bytes)) {
    Lane* oldest = nullptr;
    size_t index = 0;
    for (Lane& lane : lanes_) {
      const size_t first = !lane.queue.empty() && lane.queue.front().is_being_sent ? 1 : 0;
      if (lane.queue.size() <= first) continue;
      if (oldest != nullptr && oldest->queue[index].number < lane.queue[first].number) continue;
      oldest = &lane;
      index = first;
    }
    if (oldest == nullptr) return;
    Remove(*oldest, index);
    metrics_.dropped_full.Add();
  }
}

void Target::Remove(Lane& lane, size_t index) {
  bytes_ -= lane.queue[index].request->bytes();
  metrics_.queue_bytes.Set(static_cast<double>(bytes_));
  lane.queue.erase(lane.queue.begin() + static_cast<ptrdiff_t>(index));
  lane.changed.NotifyOne();
  if (bytes_ == 0) sent_.NotifyAll();
}

std::vector<Target::Admitted> Target::AdmitWaiters() {
  std::vector<Admitted> admitted;
  while (!waiters_.empty() && HasRoom(waiters_.begin()->second.request->bytes())) {
    Waiter& waiter = waiters_.begin()->second;
    timer_.Cancel(waiter.timer);
    Enqueue(std::move(waiter.request));
    admitted.push_back(std::move(waiter.admitted));
    waiters_.erase(waiters_.begin());
  }
  return admitted;
}

net::Client& Target::ClientOf(Lane& lane) {
  if (std::exchange(lane.client_is_outdated, false)) {
    lane.client = std::make_unique<net::Client>(
        net::ClientOptions{.connect_timeout = options_.connect_timeout, .timeout = options_.timeout});
  }
  return *lane.client;
}

// One lane: sends the first request of its queue again and again until the TSDB has taken or refused it, or until the
// request was dropped because the queue is full.
//
//   Enqueue ──> | 9 | 7 | 4* | ──> one thread, one connection      * is_being_sent: the first, and nobody removes it
//
// The lock is released while a request is sent. Others may append and remove meanwhile, but not the first, so after the
// attempt the first is still the one that was sent. During a pause it may be dropped; the pause goes on, since the TSDB
// is no better for it. A crash of the process loses the queue: it is memory.
void Target::Run(Lane& lane) {
  Backoff backoff(kFirstPause, kLongestPause);
  while (const std::optional<Sending> sending = AwaitFirst(lane)) {
    const Attempt attempt = Send(*sending);
    Record(attempt, *sending->request);
    for (Admitted& one : Settle(lane, attempt.outcome)) one({});
    if (attempt.outcome != Attempt::Outcome::kFailed) {
      backoff.Reset();
    } else {
      Pause(lane, steady_clock::now() + std::max<milliseconds>(backoff.Next(), attempt.retry_after));
    }
  }
}

std::optional<Target::Sending> Target::AwaitFirst(Lane& lane) {
  MutexLock lock(mutex_);
  while (lane.queue.empty() && !stopping_) lane.changed.Wait(mutex_);
  if (stopping_) return std::nullopt;
  lane.queue.front().is_being_sent = true;
  return Sending{lane.queue.front().request, ClientOf(lane), options_.content_type, options_.forward_credentials};
}

std::vector<Target::Admitted> Target::Settle(Lane& lane, Attempt::Outcome outcome) {
  MutexLock lock(mutex_);
  if (outcome == Attempt::Outcome::kFailed) {
    lane.queue.front().is_being_sent = false;
    MakeRoom(0);  // Reconfigure may have set a smaller bound meanwhile
  } else {
    Remove(lane, 0);
  }
  return AdmitWaiters();
}

void Target::Pause(Lane& lane, Deadline until) {
  MutexLock lock(mutex_);
  while (!stopping_ && lane.changed.WaitUntil(mutex_, until)) {
  }
}

Target::Attempt Target::Send(const Sending& sending) const {
  using enum Attempt::Outcome;
  const ForwardedRequest& request = *sending.request;
  net::Headers headers = request.headers;
  if (!request.has_content_type) headers.emplace_back("Content-Type", sending.content_type);
  if (sending.forward_credentials) std::ranges::copy(request.credentials, std::back_inserter(headers));
  const auto response = sending.client.Post(url_.text(), headers, request.body);
  if (!response) return {kFailed, response.error().message()};
  if (response->status / 100 == 2) return {kSent};
  const bool again = response->status == 429 || response->status / 100 == 5;
  if (!again) return {kRefused, Describe(*response)};
  return {kFailed, Describe(*response), response->retry_after.value_or(std::chrono::seconds(0))};
}

// Logs the 1st, 2nd, 4th … refusal and outage: a night of them gives a dozen lines, also if a TSDB comes and goes and
// the lanes find it in different states.
void Target::Record(const Attempt& attempt, const ForwardedRequest& request) {
  using enum Attempt::Outcome;
  const bool failed = attempt.outcome == kFailed;
  bool is_news = false;
  uint64_t refused = 0;
  uint64_t outages = 0;
  {
    MutexLock lock(mutex_);
    const bool changed = std::exchange(failing_, failed) != failed;
    if (changed && failed) ++outages_;
    outages = outages_;
    is_news = changed && std::has_single_bit(outages_) && !stopping_;
    if (attempt.outcome == kRefused) refused = ++refused_;
  }
  switch (attempt.outcome) {
    case kSent:
      metrics_.sent.Add();
      metrics_.sent_bytes.Add(static_cast<double>(request.body.size()));
      break;
    case kRefused:
      metrics_.dropped_refused.Add();
      if (std::has_single_bit(refused)) {
        log_.Warn("forward: {} {}; the request is dropped, number {}", shown_, attempt.what, refused);
      }
      break;
    case kFailed: metrics_.retries.Add(); break;
  }
  if (is_news && failed) {
    log_.Warn("forward: {} {}; trying again, outage number {}", shown_, attempt.what, outages);
  } else if (is_news) {
    log_.Info("forward: {} answers again", shown_);
  }
}

}  // namespace mi::forward
