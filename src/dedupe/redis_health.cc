#include "dedupe/redis_health.h"

#include <string_view>

namespace mi::dedupe {
namespace {

using std::chrono::steady_clock;

constexpr std::string_view kLookups = "redis_lookups_total";
constexpr std::string_view kLookupsHelp =
    "Series that were asked for in Redis: known or unknown there; error where it gave no answer.";

}  // namespace

RedisMetrics::RedisMetrics(telemetry::Metrics& metrics)
    : up(metrics.GetGauge("redis_up", "Whether Redis answers.")),
      known(metrics.GetCounter(kLookups, kLookupsHelp, {{"result", "known"}})),
      unknown(metrics.GetCounter(kLookups, kLookupsHelp, {{"result", "unknown"}})),
      unasked(metrics.GetCounter(kLookups, kLookupsHelp, {{"result", "error"}})),
      errors(metrics.GetCounter("redis_errors_total", "Connections, look-ups and writes that failed.")),
      dropped(metrics.GetCounter("redis_dropped_total",
                                 "Series that Redis was not told of: it was away or slow for too long, or refused.")) {}

Status RedisHealth::Get() const {
  MutexLock lock(mutex_);
  if (fault_) return Fail(*fault_);
  if (write_fault_) return Fail(*write_fault_);
  return {};
}

void RedisHealth::Answers() {
  {
    MutexLock lock(mutex_);
    if (!fault_) return;
    fault_.reset();
    up_ = true;
    metrics_.up.Set(1);
  }
  log_.Info("redis: answers");
  changed_.NotifyAll();
}

void RedisHealth::Fails(const Error& error) {
  metrics_.errors.Add();
  bool news = false;
  {
    MutexLock lock(mutex_);
    // One line a fault, however often it is met.
    news = !stopping_ && (!fault_ || *fault_ != error);
    fault_ = error;
    up_ = false;
    metrics_.up.Set(0);
  }
  if (news) log_.Warn("{}; series count as unknown meanwhile and are published", error.message());
  changed_.NotifyAll();
}

void RedisHealth::RefusesWrites(const Error& error) {
  metrics_.errors.Add();
  {
    MutexLock lock(mutex_);
    if (write_fault_ == error) return;
    write_fault_ = error;
  }
  log_.Warn("{}; it is not told what is durable", error.message());
}

void RedisHealth::TakesWrites() {
  {
    MutexLock lock(mutex_);
    if (!write_fault_) return;
    write_fault_.reset();
  }
  log_.Info("redis: takes writes again");
}

bool RedisHealth::AwaitUp() {
  MutexLock lock(mutex_);
  while (fault_ && !stopping_) changed_.Wait(mutex_);
  return !fault_;
}

bool RedisHealth::AwaitFault(std::chrono::milliseconds longest) {
  const auto deadline = steady_clock::now() + longest;
  MutexLock lock(mutex_);
  while (!fault_ && !stopping_) {
    if (!changed_.WaitUntil(mutex_, deadline)) break;
  }
  return !stopping_;
}

bool RedisHealth::Pause(std::chrono::milliseconds time) {
  const auto deadline = steady_clock::now() + time;
  MutexLock lock(mutex_);
  while (!stopping_) {
    if (!changed_.WaitUntil(mutex_, deadline)) break;
  }
  return !stopping_;
}

void RedisHealth::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
}

}  // namespace mi::dedupe
