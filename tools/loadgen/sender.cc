#include "loadgen/sender.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/backoff.h"

namespace mi::loadgen {
namespace {

using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kRequestTimeout{30'000};
constexpr milliseconds kMinBackoff{30};
constexpr milliseconds kMaxBackoff{5'000};
constexpr milliseconds kLongestSleep{50};  // then it checks whether it should stop

// What the connections share.
struct Plan {
  const Traffic& traffic;
  const SendOptions& options;
  const steady_clock::time_point begun = steady_clock::now();
  const steady_clock::time_point end = begun + options.duration;
  std::atomic<uint64_t> next_steady = 0;
  std::atomic<uint64_t> churned = 0;  // series of churn that were handed out
  std::atomic<uint64_t> paced = 0;    // series handed out under the rate
  std::atomic<uint64_t> begun_requests = 0;
  std::vector<std::atomic<bool>> steady_acknowledged = std::vector<std::atomic<bool>>(traffic.steady().size());

  bool Over() const { return (options.stop != nullptr && *options.stop) || steady_clock::now() >= end; }
  void SleepUntil(steady_clock::time_point time) const {
    for (auto now = steady_clock::now(); now < time && !Over(); now = steady_clock::now()) {
      std::this_thread::sleep_until(std::min(time, now + kLongestSleep));
    }
  }
};

class Connection {
 public:
  explicit Connection(Plan& plan)
      : plan_(plan),
        client_({.connect_timeout = kRequestTimeout, .timeout = kRequestTimeout}),
        url_(plan.options.url.text()),
        headers_(plan.traffic.Headers()) {
    if (!plan.options.tenant.empty()) headers_.emplace_back("X-Scope-OrgID", plan.options.tenant);
  }

  SendResult Run() {
    while (MayBegin()) {
      if (ChurnIsDue()) {
        const Request fresh = NextChurn();
        if (SendOne(fresh)) result_.acknowledged.emplace_back(fresh.first, fresh.count);
      } else {
        const uint64_t turn = plan_.next_steady++ % plan_.traffic.steady().size();
        if (SendOne(plan_.traffic.steady()[turn])) plan_.steady_acknowledged[turn] = true;
      }
    }
    return std::move(result_);
  }

 private:
  bool MayBegin() {
    // Without steady series there is nothing to do until the next of the churn are due.
    while (plan_.traffic.steady().empty() && !ChurnIsDue() && !plan_.Over()) {
      std::this_thread::sleep_for(milliseconds(1));
    }
    if (plan_.Over()) return false;
    return plan_.options.requests == 0 || plan_.begun_requests++ < plan_.options.requests;
  }

  bool ChurnIsDue() const {
    const double elapsed = duration<double>(steady_clock::now() - plan_.begun).count();
    return static_cast<double>(plan_.churned.load()) < plan_.options.churn * elapsed;
  }

  Request NextChurn() {
    const auto a_tenth_second = static_cast<uint64_t>(plan_.options.churn / 10);
    const uint64_t count = std::clamp<uint64_t>(a_tenth_second, 1, plan_.traffic.options().batch);
    return plan_.traffic.Make(plan_.traffic.options().series + plan_.churned.fetch_add(count), count);
  }

  // Waits until the rate allows `series` more; false when the time is up.
  bool Pace(uint64_t series) {
    if (plan_.options.rate <= 0) return true;
    const auto before = static_cast<double>(plan_.paced.fetch_add(series));
    const auto due =
        plan_.begun + std::chrono::duration_cast<steady_clock::duration>(duration<double>(before / plan_.options.rate));
    plan_.SleepUntil(due);
    return !plan_.Over();
  }

  // Returns true if the request was acknowledged. Retries 5xx, 429 and lost connections, with backoff, until the time
  // is up.
  bool SendOne(const Request& request) {
    if (!Pace(request.count)) return false;
    backoff_.Reset();
    for (;;) {
      const auto sent_at = steady_clock::now();
      const auto answer = client_.Post(url_, headers_, request.body);
      if (!answer) {
        ++result_.connection_failures;
      } else {
        ++result_.requests;
        ++result_.status[answer->status];
        if (answer->status / 100 == 2) return Acknowledge(request, steady_clock::now() - sent_at);
        if (answer->status / 100 != 5 && answer->status != 429) return ++result_.refused, false;
      }
      const milliseconds asked = answer ? answer->retry_after.value_or(std::chrono::seconds(0)) : milliseconds(0);
      if (!WaitToRetry(std::min(asked, kMaxBackoff))) return ++result_.unfinished, false;
      ++result_.retries;
    }
  }

  bool Acknowledge(const Request& request, steady_clock::duration took) {
    result_.series += request.count;
    result_.latencies_ms.push_back(duration<float, std::milli>(took).count());
    return true;
  }

  // Waits as long as the server asked for, else as long as the backoff says. False if the end came first.
  bool WaitToRetry(milliseconds asked) {
    const milliseconds pause = backoff_.Next();
    plan_.SleepUntil(steady_clock::now() + (asked.count() > 0 ? asked : pause));
    return !plan_.Over();
  }

  Plan& plan_;
  Backoff backoff_{kMinBackoff, kMaxBackoff};  // one for all requests: it costs a call of the random device
  net::Client client_;
  const std::string url_;
  net::Headers headers_;
  SendResult result_;
};

void Merge(SendResult&& part, SendResult& all) {
  all.requests += part.requests;
  all.series += part.series;
  all.retries += part.retries;
  all.connection_failures += part.connection_failures;
  all.refused += part.refused;
  all.unfinished += part.unfinished;
  for (const auto& [status, count] : part.status) all.status[status] += count;
  all.latencies_ms.insert(all.latencies_ms.end(), part.latencies_ms.begin(), part.latencies_ms.end());
  all.acknowledged.insert(all.acknowledged.end(), part.acknowledged.begin(), part.acknowledged.end());
}

}  // namespace

SendResult Send(const Traffic& traffic, const SendOptions& options) {
  Plan plan{traffic, options};
  std::vector<SendResult> parts(options.connections);
  std::vector<std::thread> threads;
  threads.reserve(options.connections);
  for (unsigned i = 0; i < options.connections; ++i) {
    threads.emplace_back([&, i] { parts[i] = Connection(plan).Run(); });
  }
  for (std::thread& thread : threads) thread.join();
  SendResult all;
  all.seconds = duration<double>(steady_clock::now() - plan.begun).count();
  for (SendResult& part : parts) Merge(std::move(part), all);
  for (size_t i = 0; i < traffic.steady().size(); ++i) {
    const Request& request = traffic.steady()[i];
    if (plan.steady_acknowledged[i]) all.acknowledged.emplace_back(request.first, request.count);
  }
  std::ranges::sort(all.acknowledged);
  std::ranges::sort(all.latencies_ms);
  return all;
}

}  // namespace mi::loadgen
