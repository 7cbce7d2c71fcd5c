// What this process waits for before it can do its work: the answer of /ready.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/mutex.h"

namespace mi::telemetry {

// Parts are named by who reports them ("journal", "catalog"). Ready once there is a part and none waits.
//
// Threads: safe. Ownership: copies what it is told.
class Health {
 public:
  // What comes after "waiting for": SetWaiting("catalog", "12 of 40 series batches").
  void SetWaiting(std::string_view part, std::string what) EXCLUDES(mutex_);
  void SetReady(std::string_view part) EXCLUDES(mutex_);

  bool Ready() const EXCLUDES(mutex_);
  // "ready\n", or a line for each part that waits: "catalog: waiting for 12 of 40 series batches\n".
  std::string Describe() const EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  std::map<std::string, std::string, std::less<>> parts_ GUARDED_BY(mutex_);  // '' is ready
};

}  // namespace mi::telemetry
