// Tries something again until it succeeds or the worker stops, waiting longer each time.
//
// Threads: Until() confined to the worker's; Health() safe.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
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

  enum class Of : uint8_t { kStore, kStream, kListener, kMemory };
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

  // Whether the store fails. Confined to the worker's thread.
  bool store_is_away() const { return failures_[std::to_underlying(Of::kStore)] > 0; }

  // A failure that is being retried; the store's before the others'.
  Status Health() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    for (const std::optional<Error>& error : errors_) {
      if (error) return std::unexpected(*error);
    }
    return {};
  }

 private:
  static constexpr size_t kParts = 4;  // of Of

  const std::chrono::milliseconds first_;
  const std::chrono::milliseconds longest_;
  StopSignal& stop_;
  IndexMetrics& metrics_;
  telemetry::Logger& log_;
  std::array<unsigned, kParts> failures_{};  // of each, in a row
  mutable Mutex mutex_;
  std::array<std::optional<Error>, kParts> errors_ GUARDED_BY(mutex_);
};

}  // namespace mi::index
