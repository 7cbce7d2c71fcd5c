#include "dedupe/redis/health.h"

#include <string_view>

namespace mi::dedupe {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kProbeInterval = std::chrono::seconds(1);
// All producers of a fleet lose Redis at the same moment. The jitter of the backoff keeps them from returning at once.
constexpr milliseconds kFirstPause{50};
constexpr milliseconds kLongestPause = std::chrono::seconds(5);

constexpr std::string_view kLookups = "redis_lookups_total";
constexpr std::string_view kLookupsHelp =
    "Series looked up in Redis, by result: known, unknown, or error when Redis gave no answer.";

}  // namespace

RedisMetrics::RedisMetrics(telemetry::Metrics& metrics)
    : up(metrics.GetGauge("redis_up", "Whether Redis answers.")),
      known(metrics.GetCounter(kLookups, kLookupsHelp, {{"result", "known"}})),
      unknown(metrics.GetCounter(kLookups, kLookupsHelp, {{"result", "unknown"}})),
      unanswered(metrics.GetCounter(kLookups, kLookupsHelp, {{"result", "error"}})),
      errors(metrics.GetCounter("redis_errors_total", "Connections, look-ups and writes that failed.")),
      dropped(metrics.GetCounter(
          "redis_dropped_total",
          "Series that were not written to Redis because it was away or slow for too long, or refused them.")) {}

RedisHealth::RedisHealth(const RedisOptions& options, const StopSignal& stop, telemetry::Logger& log,
                         RedisMetrics& metrics)
    : options_(options),
      stop_(stop),
      log_(log),
      metrics_(metrics),
      connection_(options, stop),
      backoff_(kFirstPause, kLongestPause),
      prober_([this] { return pause_; }, [this] { Probe(); }) {}

// One state for all connections: `fault_`. Any thread that meets a fault sets it; only the prober clears it.
//
//              ReportFault (look-ups, writes, prober)
//        up ------------------------------------------> down      RunSoon: the prober does not sleep out its second
//        up <------------------------------------------ down      writers that wait in AwaitUp go on
//              Probe succeeds (ReportAnswer)
//
// A late fault of an old connection may set the state to down although Redis is back. Until the next probe,
// which comes at once, series then count as unknown. A look-up never waits here: it reads the state under the mutex and
// is refused while Redis is down. Stop() wakes the writers first and then waits for the prober, whose probe ends at the
// stop signal.
void RedisHealth::Probe() {
  const Status answer = connection_.Probe(steady_clock::now() + options_.timeout);
  if (answer) {
    backoff_.Reset();
    pause_ = kProbeInterval;
    ReportAnswer();
  } else if (!stop_.requested()) {
    pause_ = backoff_.Next();
    NoteFault(answer.error());
  }
}

Status RedisHealth::Up() const {
  const MutexLock lock(mutex_);
  return fault_ ? Status(Fail(*fault_)) : Status();
}

Status RedisHealth::Get() const {
  TRY(Up());
  const MutexLock lock(mutex_);
  return write_fault_ ? Status(Fail(*write_fault_)) : Status();
}

void RedisHealth::ReportAnswer() {
  {
    const MutexLock lock(mutex_);
    if (!fault_) return;
    fault_.reset();
    metrics_.up.Set(1);
  }
  log_.Info("redis: answers");
  changed_.NotifyAll();
}

void RedisHealth::ReportFault(const Error& error) {
  if (NoteFault(error)) prober_.RunSoon();
}

bool RedisHealth::NoteFault(const Error& error) {
  metrics_.errors.Add();
  bool was_up = false;
  bool is_news = false;
  {
    const MutexLock lock(mutex_);
    was_up = !fault_;
    is_news = !stopping_ && (was_up || *fault_ != error);
    fault_ = error;
    metrics_.up.Set(0);
  }
  if (is_news) log_.Warn("{}; until it is back, series count as unknown and are published again", error.message());
  changed_.NotifyAll();
  return was_up;
}

void RedisHealth::ReportWrite(const Status& answer) {
  if (!answer) metrics_.errors.Add();
  {
    const MutexLock lock(mutex_);
    if (answer ? !write_fault_ : write_fault_ == answer.error()) return;
    write_fault_ = answer ? std::nullopt : std::optional(answer.error());
  }
  if (answer) {
    log_.Info("redis: accepts writes again");
  } else {
    log_.Warn("{}; new series are not written to Redis", answer.error().message());
  }
}

bool RedisHealth::AwaitUp() {
  const MutexLock lock(mutex_);
  while (fault_ && !stopping_) changed_.Wait(mutex_);
  return !fault_;
}

void RedisHealth::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  prober_.Stop();
}

}  // namespace mi::dedupe
