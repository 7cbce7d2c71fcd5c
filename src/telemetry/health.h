// What this process waits for before it can do its work: the answer of /ready.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/mutex.h"

namespace mi::telemetry {

// Parts are named by who reports them ("journal", "catalog"). Ready once there is a part and none waits; what is
// impaired does its work all the same, worse: that is said, and keeps nobody away.
//
// Threads: safe. Ownership: copies what it is told.
class Health {
 public:
  // What comes after "waiting for": SetWaiting("catalog", "12 of 40 series batches").
  void SetWaiting(std::string_view part, std::string what) EXCLUDES(mutex_);
  void SetImpaired(std::string_view part, std::string what) EXCLUDES(mutex_);
  void SetReady(std::string_view part) EXCLUDES(mutex_);

  bool Ready() const EXCLUDES(mutex_);
  // "ready\n", or a line for each part that waits: "catalog: waiting for 12 of 40 series batches\n"; and one for each
  // that is impaired: "redis: impaired: no connection\n".
  std::string Describe() const EXCLUDES(mutex_);

 private:
  struct Part {
    enum class State { kReady, kImpaired, kWaiting } state = State::kReady;
    std::string what;
  };
  void Set(std::string_view part, Part now) EXCLUDES(mutex_);
  bool NothingWaits() const REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, Part, std::less<>> parts_ GUARDED_BY(mutex_);
};

}  // namespace mi::telemetry
