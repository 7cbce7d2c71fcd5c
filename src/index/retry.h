// Repeats an operation until it succeeds or the worker stops, with growing pauses; reports failures to the log, the
// metrics and the health. Damage (kCorrupt) ends the process instead: no repetition repairs it. A worker has one object
// for the store and one for the stream: a stream that answers tells nothing about a store that is away.
//
// Threads: confined to the worker's, except Health().
#pragma once

#include <bit>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include "base/backoff.h"
#include "base/fatal.h"
#include "base/format.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/stop_signal.h"
#include "index/metrics.h"
#include "telemetry/log.h"

namespace mi::index {

class Retry {
 public:
  // `stop`: of the worker; it is requested after `fatal` was called. `store`: the metrics that count the failures and
  // show whether the store works; null for the stream.
  Retry(Backoff backoff, StopSignal& stop, telemetry::Logger& log, FatalHandler fatal, IndexMetrics* store)
      : stop_(stop), log_(log), fatal_(std::move(fatal)), store_(store), backoff_(std::move(backoff)) {}

  // Returns the first result of `attempt` that is a success or an error for which `is_final` is true, since repeating
  // would not change it. Returns nothing if the worker was stopped meanwhile. `what` is for messages: "apply to the
  // store".
  template <typename Attempt, typename IsFinal>
  auto Until(std::string_view what, Attempt attempt, IsFinal is_final) -> std::optional<decltype(attempt())> {
    for (;;) {
      auto result = attempt();
      if (result || is_final(result.error())) {
        Succeeded();
        return result;
      }
      if (!WaitAfter(what, result.error())) return std::nullopt;
    }
  }
  template <typename Attempt>
  auto Until(std::string_view what, Attempt attempt) {
    return Until(what, std::move(attempt), [](const Error&) { return false; });
  }

  // Reports a failure and waits for the next attempt. False if the worker was stopped.
  bool WaitAfter(std::string_view what, const Error& error) { return stop_.WaitFor(Failed(what, error)); }

  // Reports a failure; returns the pause before the next attempt. Fatal: kCorrupt.
  std::chrono::milliseconds Failed(std::string_view what, const Error& error) EXCLUDES(mutex_) {
    ++failures_;
    // The 1st, 2nd, 4th ... failure: a night of failures is a dozen lines.
    if (std::has_single_bit(failures_)) {
      log_.Warn("index: {}: {} ({}); attempt {}, trying again", what, error.message(), ToString(error.code()),
                failures_);
    }
    if (store_ != nullptr) {
      store_->CountStoreError(ToString(error.code()));
      store_->NoteStoreUp(false);
    }
    if (error.code() == Errc::kCorrupt) {
      fatal_(error.Within(format("index: {}", what)));
      stop_.Request();
    }
    MutexLock lock(mutex_);
    error_ = error.Within(what);
    return backoff_.Next();
  }

  void Succeeded() EXCLUDES(mutex_) {
    if (failures_ == 0) return;
    log_.Info("index: works again, after {} failed attempts", std::exchange(failures_, 0));
    backoff_.Reset();
    if (store_ != nullptr) store_->NoteStoreUp(true);
    MutexLock lock(mutex_);
    error_.reset();
  }

  // Whether the last attempt failed.
  bool failing() const { return failures_ > 0; }

  // The failure that is being retried.
  Status Health() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return error_ ? Fail(*error_) : Status();
  }

 private:
  StopSignal& stop_;
  telemetry::Logger& log_;
  const FatalHandler fatal_;
  IndexMetrics* const store_;
  Backoff backoff_;
  unsigned failures_ = 0;  // in a row
  mutable Mutex mutex_;
  std::optional<Error> error_ GUARDED_BY(mutex_);
};

}  // namespace mi::index
