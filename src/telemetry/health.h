// What this process still waits for before it can do its work: the answer of /ready.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/result.h"

namespace mi::telemetry {

// Each part of the process ("journal", "catalog") reports its own state. The process is ready once there is a part and
// no part waits. An impaired part works, but worse: /ready says so and stays 200.
//
// Threads: safe. Ownership: copies what it is told.
class Health {
 public:
  // `what` completes "waiting for": SetWaiting("catalog", "12 of 40 series batches").
  void SetWaiting(std::string_view part, std::string what) EXCLUDES(mutex_);
  void SetImpaired(std::string_view part, std::string what) EXCLUDES(mutex_);
  void SetReady(std::string_view part) EXCLUDES(mutex_);
  // The part is ready, or waits for the message of the error to pass.
  void Report(std::string_view part, const Status& works) EXCLUDES(mutex_);

  bool Ready() const EXCLUDES(mutex_);
  // "ready\n", or one line per part that waits: "catalog: waiting for 12 of 40 series batches\n"; then one line per
  // part that is impaired: "redis: impaired: no connection\n".
  std::string Describe() const EXCLUDES(mutex_);

 private:
  enum class State { kReady, kImpaired, kWaiting };
  struct Part {
    State state = State::kReady;
    std::string what;
  };
  void Set(std::string_view part, Part now) EXCLUDES(mutex_);
  bool NoPartWaits() const REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, Part, std::less<>> parts_ GUARDED_BY(mutex_);
};

}  // namespace mi::telemetry
