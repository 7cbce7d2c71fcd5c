// Repeats an operation until it succeeds or the worker stops, with growing pauses; reports failures to the log, the
// metrics and the health.
//
// Threads: confined to the worker's, except Health().
#pragma once

#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "base/backoff.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/stop_signal.h"
#include "index/metrics.h"
#include "telemetry/log.h"

namespace mi::index {

class Retry {
 public:
  Retry(std::chrono::milliseconds first, std::chrono::milliseconds longest, const StopSignal& stop,
        IndexMetrics& metrics, telemetry::Logger& log)
      : stop_(stop), metrics_(metrics), log_(log), series_{Series(first, longest), Series(first, longest)} {}

  // What an operation depends on. Each has failures and pauses of its own: a stream that answers tells nothing about a
  // store that is away.
  enum class On : uint8_t { kStore, kStream };
  struct Operation {
    std::string_view what;  // for messages: "apply to the store"
    On on;
  };

  // Returns the first result of `attempt` that is a success or an error for which `is_final` is true, since repeating
  // would not change it. Returns nothing if the worker was stopped meanwhile.
  template <typename Attempt, typename IsFinal>
  auto Until(Operation operation, Attempt attempt, IsFinal is_final) -> std::optional<decltype(attempt())> {
    for (;;) {
      auto result = attempt();
      if (result || is_final(result.error())) {
        Succeeded(operation.on);
        return result;
      }
      if (!stop_.WaitFor(Failed(operation, result.error()))) return std::nullopt;
    }
  }
  template <typename Attempt>
  auto Until(Operation operation, Attempt attempt) {
    return Until(operation, std::move(attempt), [](const Error&) { return false; });
  }

  // Reports a failure; returns the pause before the next attempt.
  std::chrono::milliseconds Failed(const Operation& operation, const Error& error) EXCLUDES(mutex_) {
    Series& series = Of(operation.on);
    ++series.failures;
    // The 1st, 2nd, 4th ... failure: a night of failures is a dozen lines.
    if (std::has_single_bit(series.failures)) {
      log_.Warn("index: {}: {} ({}); attempt {}, trying again", operation.what, error.message(), ToString(error.code()),
                series.failures);
    }
    if (operation.on == On::kStore) {
      metrics_.CountStoreError(ToString(error.code()));
      metrics_.NoteStoreUp(false);
    }
    MutexLock lock(mutex_);
    errors_[std::to_underlying(operation.on)] = error.Within(operation.what);
    return series.backoff.Next();
  }

  void Succeeded(On on) EXCLUDES(mutex_) {
    Series& series = Of(on);
    if (series.failures == 0) return;
    log_.Info("index: works again, after {} failed attempts", std::exchange(series.failures, 0));
    series.backoff.Reset();
    if (on == On::kStore) metrics_.NoteStoreUp(true);
    MutexLock lock(mutex_);
    errors_[std::to_underlying(on)].reset();
  }

  bool is_store_away() const { return series_[std::to_underlying(On::kStore)].failures > 0; }

  // The failure that is being retried; that of the store first.
  Status Health() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    for (const std::optional<Error>& error : errors_) {
      if (error) return std::unexpected(*error);
    }
    return {};
  }

 private:
  static constexpr size_t kOns = 2;
  // Failures in a row.
  struct Series {
    Series(std::chrono::milliseconds first, std::chrono::milliseconds longest) : backoff(first, longest) {}
    Backoff backoff;
    unsigned failures = 0;
  };
  Series& Of(On on) { return series_[std::to_underlying(on)]; }

  const StopSignal& stop_;
  IndexMetrics& metrics_;
  telemetry::Logger& log_;
  std::array<Series, kOns> series_;
  mutable Mutex mutex_;
  std::array<std::optional<Error>, kOns> errors_ GUARDED_BY(mutex_);
};

}  // namespace mi::index
