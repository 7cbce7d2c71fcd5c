// Tries something again until it succeeds or the worker stops, waiting longer each time.
//
// Threads: Until() confined to the worker's; Health() safe.
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include "base/mutex.h"
#include "base/result.h"
#include "base/stop_signal.h"
#include "index/index_metrics.h"
#include "telemetry/log.h"

namespace mi::index {

class Retry {
 public:
  Retry(std::chrono::milliseconds first, std::chrono::milliseconds longest, StopSignal& stop, IndexMetrics& metrics,
        telemetry::Logger& log)
      : first_(first), longest_(longest), stop_(stop), metrics_(metrics), log_(log) {}

  enum class Of { kStore, kStream, kListener, kMemory };
  struct Attempted {
    std::string_view what;  // "apply to the store"
    Of of;
  };

  // The first result of `attempt` that is a success, or an error that `final` says no repetition will change; nothing
  // when the worker was stopped meanwhile.
  template <typename Attempt, typename Final>
  auto Until(Attempted what, Attempt attempt, Final final) -> std::optional<decltype(attempt())> {
    for (;;) {
      auto result = attempt();
      if (result || final(result.error())) {
        Succeeded(what.of);
        return result;
      }
      if (!stop_.WaitFor(Failed(what, result.error()))) return std::nullopt;
    }
  }
  template <typename Attempt>
  auto Until(Attempted what, Attempt attempt) {
    return Until(what, std::move(attempt), [](const Error&) { return false; });
  }

  // Notes a failure; how long to wait before the next attempt.
  std::chrono::milliseconds Failed(const Attempted& attempted, const Error& error) EXCLUDES(mutex_);
  // Ends the retrying of what `of` speaks of: a stream that answers says nothing of a store that is away.
  void Succeeded(Of of) EXCLUDES(mutex_);

  // Whether what fails is the store. Confined to the worker's thread.
  bool store_is_away() const { return failures_ > 0 && failed_ == Of::kStore; }

  // The failure that is being retried.
  Status Health() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return error_ ? Status(std::unexpected(*error_)) : Status();
  }

 private:
  const std::chrono::milliseconds first_;
  const std::chrono::milliseconds longest_;
  StopSignal& stop_;
  IndexMetrics& metrics_;
  telemetry::Logger& log_;
  unsigned failures_ = 0;   // in a row
  Of failed_ = Of::kStore;  // of the last failure
  mutable Mutex mutex_;
  std::optional<Error> error_ GUARDED_BY(mutex_);
};

}  // namespace mi::index
