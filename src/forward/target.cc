#include "forward/target.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <bit>
#include <exception>
#include <new>
#include <utility>

#include "base/format.h"
#include "base/quote.h"
#include "forward/backoff.h"
#include "forward/failure.h"

namespace mi::forward {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::string_view kDropped = "forward_dropped_total";
constexpr std::string_view kDroppedHelp =
    "Requests that were not passed on: the queue was full, the TSDB refused them, the service or target ended, or "
    "memory or threads are exhausted.";
constexpr size_t kShownBytes = 300;

// OpenSSL writes without MSG_NOSIGNAL.
void BlockSigpipe() {
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
}

telemetry::MetricLabels With(telemetry::MetricLabels labels, const std::string& reason) {
  labels.emplace_back("reason", reason);
  return labels;
}

std::string Explain(const net::ClientResponse& response) {
  std::string text = format("answers {}", response.status);
  if (response.body.empty()) return text;
  text += ": ";
  const std::string_view body(response.body);
  AppendPrintable(body.substr(0, std::min(body.find('\n'), kShownBytes)), text);
  return text;
}

}  // namespace

TargetMetrics::TargetMetrics(telemetry::Metrics& metrics, const telemetry::MetricLabels& labels)
    : queue_bytes(metrics.GetGauge("forward_queue_bytes", "Bytes of requests that wait for a TSDB.", labels)),
      sent(metrics.GetCounter("forward_sent_total", "Requests that a TSDB has taken.", labels)),
      sent_bytes(metrics.GetCounter("forward_sent_bytes_total", "Their bodies, bytes.", labels)),
      retries(metrics.GetCounter("forward_retries_total", "Attempts that failed and were repeated.", labels)),
      dropped_full(metrics.GetCounter(kDropped, kDroppedHelp, With(labels, "queue_full"))),
      dropped_refused(metrics.GetCounter(kDropped, kDroppedHelp, With(labels, "refused"))),
      dropped_stopped(metrics.GetCounter(kDropped, kDroppedHelp, With(labels, "stopped"))),
      dropped_exhausted(metrics.GetCounter(kDropped, kDroppedHelp, With(labels, "exhausted"))) {}

Result<std::shared_ptr<Target>> Target::Create(TargetOptions options, ForwardDeps deps, size_t number) {
  Result<net::Url> url = net::Url::Parse(options.url);
  if (!url) return Fail(url.error());
  std::shared_ptr<const net::TlsContext> tls;
  if (url->tls) {
    auto created = net::TlsContext::Create();
    if (!created) return Fail(created.error());
    tls = *std::move(created);
  }
  return std::make_shared<Target>(std::move(options), number, *std::move(url), std::move(tls), deps);
}

Target::Target(TargetOptions options, size_t number, net::Url url, std::shared_ptr<const net::TlsContext> tls,
               ForwardDeps deps)
    : url_text_(options.url),
      number_(number),
      url_(std::move(url)),
      tls_(std::move(tls)),
      log_(deps.log),
      metrics_(deps.metrics, {{"url", Shown(options.url)}, {"target", format("{}", number)}}),
      options_(std::move(options)) {}

Target::~Target() { Stop(); }

WhenFull Target::when_full() const {
  MutexLock lock(mutex_);
  return options_.when_full;
}

void Target::Add(Request request) {
  MutexLock lock(mutex_);
  const size_t bytes = request->bytes();
  if (!closed_) MakeRoom(bytes);
  if (closed_) {
    metrics_.dropped_stopped.Add();
  } else if (!HasRoom(bytes)) {
    metrics_.dropped_full.Add();
  } else {
    Enqueue(std::move(request));
  }
}

void Target::Admit(Request request, Deadline deadline, Admitted admitted) {
  Status outcome;
  {
    MutexLock lock(mutex_);
    if (closed_) {
      outcome = Failure(Errc::kUnavailable, "the service is stopping");
    } else if (request->bytes() > options_.queue_bytes) {
      metrics_.dropped_full.Add();  // there never will be room
    } else if (waiters_.empty() && HasRoom(request->bytes())) {
      Enqueue(std::move(request));
    } else {
      waiters_.push_back({std::move(request), deadline, std::move(admitted)});
      return;
    }
  }
  admitted(std::move(outcome));
}

std::optional<Target::Deadline> Target::Expire(Deadline now) {
  Waiters late;
  std::optional<Deadline> next;
  {
    MutexLock lock(mutex_);
    for (auto at = waiters_.begin(); at != waiters_.end();) {
      const auto here = at++;
      if (here->deadline <= now) {
        late.splice(late.end(), waiters_, here);
      } else {
        next = std::min(next.value_or(here->deadline), here->deadline);
      }
    }
  }
  for (Waiter& waiter : late) {
    waiter.admitted(Failure(Errc::kOverloaded, format("the queue for {} is full, and it is told to block "
                                                      "(remote.write.queue_bytes, remote.write.when_full)",
                                                      Shown(url_text_))));
  }
  return next;
}

void Target::Reconfigure(TargetOptions options) {
  Waiters admitted;
  {
    MutexLock lock(mutex_);
    options_ = std::move(options);
    ++options_number_;
    MakeRoom(0);
    admitted = AdmitWaiting();
  }
  for (Waiter& waiter : admitted) waiter.admitted({});
}

void Target::Close() {
  Waiters waiters;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    waiters.swap(waiters_);
  }
  for (Waiter& waiter : waiters) waiter.admitted(Failure(Errc::kUnavailable, "the service is stopping"));
}

bool Target::AwaitSent(Deadline deadline) {
  MutexLock lock(mutex_);
  while (bytes_ > 0) {
    if (!sent_.WaitUntil(mutex_, deadline)) return bytes_ == 0;
  }
  return true;
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
  const size_t bytes = request->bytes();
  const size_t before = lane.queue.size();
  try {
    lane.queue.push_back({.request = std::move(request), .number = next_number_++});
    if (!lane.thread.joinable()) lane.thread = std::thread([this, &lane] { Run(lane); });
  } catch (const std::exception& error) {  // bad_alloc, or system_error where there are threads enough
    if (lane.queue.size() > before) lane.queue.pop_back();
    metrics_.dropped_exhausted.Add();
    if (std::has_single_bit(++exhausted_)) {
      Log(telemetry::Level::kError, "forward: {} cannot be sent to: {}; the request is dropped, number {}",
          Shown(url_text_), error.what(), exhausted_);
    }
    return;
  }
  bytes_ += bytes;
  metrics_.queue_bytes.Set(static_cast<double>(bytes_));
  lane.changed.NotifyOne();
}

void Target::MakeRoom(size_t bytes) {
  if (bytes > options_.queue_bytes) return;
  while (!HasRoom(bytes)) {
    Lane* oldest = nullptr;
    size_t index = 0;
    for (Lane& lane : lanes_) {
      const size_t first = !lane.queue.empty() && lane.queue.front().on_the_wire ? 1 : 0;
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

Target::Waiters Target::AdmitWaiting() {
  Waiters admitted;
  while (!waiters_.empty() && HasRoom(waiters_.front().request->bytes())) {
    Enqueue(waiters_.front().request);
    admitted.splice(admitted.end(), waiters_, waiters_.begin());
  }
  return admitted;
}

net::Client& Target::ClientOf(Lane& lane) {
  if (lane.client == nullptr || lane.options_number != options_number_) {
    lane.options_number = options_number_;
    lane.client = net::Client::Create({.to = {.host = url_.host, .port = url_.port, .tls = tls_},
                                       .connect_timeout = options_.connect_timeout,
                                       .timeout = options_.timeout});
  }
  return *lane.client;
}

void Target::Run(Lane& lane) {
  BlockSigpipe();
  Backoff backoff;
  mutex_.Lock();
  while (!stopping_) {
    if (lane.queue.empty()) {
      lane.changed.Wait(mutex_);
      continue;
    }
    Queued& first = lane.queue.front();
    first.on_the_wire = true;
    const Request request = first.request;
    const uint64_t number = first.number;
    mutex_.Unlock();

    const Attempt attempt = Try(lane, *request);
    Note(attempt, *request);
    if (attempt.outcome != Attempt::Outcome::kFailed) {
      backoff.Reset();
      Finish(lane);
      mutex_.Lock();
      continue;
    }
    const auto again = steady_clock::now() + std::max(backoff.Next(), attempt.wait_for.value_or(milliseconds(0)));
    mutex_.Lock();
    lane.queue.front().on_the_wire = false;
    MakeRoom(0);  // a smaller bound may have come meanwhile
    // Until it is time, or the request was dropped for want of room.
    while (!stopping_ && !lane.queue.empty() && lane.queue.front().number == number) {
      if (!lane.changed.WaitUntil(mutex_, again)) break;
    }
  }
  mutex_.Unlock();
}

Target::Attempt Target::Try(Lane& lane, const PassedRequest& request) {
  using enum Attempt::Outcome;
  try {
    std::string content_type;
    net::Client* client = nullptr;
    {
      MutexLock lock(mutex_);
      if (stopping_) return {kFailed, {}, {}};  // Stop has cancelled the clients that there were
      content_type = options_.content_type;
      client = &ClientOf(lane);
    }
    return Send(*client, request, content_type);
  } catch (const std::bad_alloc&) {
    return {kFailed, {}, {}};
  }
}

Target::Attempt Target::Send(net::Client& client, const PassedRequest& request, const std::string& content_type) const {
  using enum Attempt::Outcome;
  Result<net::ClientResponse> response = [&] {
    if (request.has_content_type) return client.Send("POST", url_.target, request.headers, request.body);
    auto headers = request.headers;
    headers.emplace_back("Content-Type", content_type);
    return client.Send("POST", url_.target, headers, request.body);
  }();
  if (!response) return {kFailed, response.error().message(), {}};
  if (response->status / 100 == 2) return {kSent, {}, {}};
  const bool again = response->status == 429 || response->status / 100 == 5;
  if (!again) return {kRefused, Explain(*response), {}};
  return {kFailed, Explain(*response), ParseRetryAfter(response->Header("Retry-After"), time(nullptr))};
}

void Target::Finish(Lane& lane) {
  Waiters admitted;
  {
    MutexLock lock(mutex_);
    Remove(lane, 0);
    admitted = AdmitWaiting();
  }
  for (Waiter& waiter : admitted) waiter.admitted({});
}

template <typename... Args>
void Target::Log(telemetry::Level level, format_string<Args...> text, Args&&... args) const noexcept {
  try {
    if (log_.Enabled(level)) log_.Write(level, format(text, std::forward<Args>(args)...));
  } catch (...) {  // NOLINT(bugprone-empty-catch): out of memory: the line is lost, the request is not
  }
}

// The 1st, 2nd, 4th … refusal and outage are logged: a night of them is a dozen lines, also when each of the lanes
// finds a TSDB that flutters in another state.
void Target::Note(const Attempt& attempt, const PassedRequest& request) {
  using enum Attempt::Outcome;
  const bool failed = attempt.outcome == kFailed;
  bool news = false;
  uint64_t refused = 0;
  uint64_t outages = 0;
  {
    MutexLock lock(mutex_);
    const bool flipped = std::exchange(failing_, failed) != failed;
    if (flipped && failed) ++outages_;
    outages = outages_;
    news = flipped && std::has_single_bit(outages_) && !stopping_;
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
        Log(telemetry::Level::kWarn, "forward: {} {}; the request is dropped, number {}", Shown(url_text_),
            attempt.what, refused);
      }
      break;
    case kFailed: metrics_.retries.Add(); break;
  }
  if (!news) return;
  if (failed) {
    Log(telemetry::Level::kWarn, "forward: {} {}; trying again, outage number {}", Shown(url_text_),
        attempt.what.empty() ? "cannot be sent to: out of memory" : attempt.what, outages);
  } else {
    Log(telemetry::Level::kInfo, "forward: {} answers again", Shown(url_text_));
  }
}

}  // namespace mi::forward
