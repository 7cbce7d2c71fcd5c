// The gauge store_up of a process that works over MySQL, and the only one that sets it.
#pragma once

#include <set>

#include "base/mutex.h"
#include "telemetry/metrics.h"

namespace mi::store {

// 1 while the server answers when it is looked at, and takes what every store writes: one that answers may be
// read-only, full or locked.
// Threads: safe.
class MysqlUp {
 public:
  explicit MysqlUp(telemetry::Metrics& metrics)
      : gauge_(metrics.GetGauge(
            "store_up", "1 while the SQL database answers and takes what is written into it, 0 while it does not.")) {}

  void Looked(bool answers) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    answers_ = answers;
    Show();
  }
  void Wrote(const void* writer, bool taken) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (taken) {
      answers_ = true;
      refused_.erase(writer);
    } else {
      refused_.insert(writer);
    }
    Show();
  }
  // The writer goes; what it failed to write is nobody's matter any more.
  void Forget(const void* writer) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (refused_.erase(writer) > 0) Show();
  }

 private:
  void Show() REQUIRES(mutex_) { gauge_.Set(answers_ && refused_.empty() ? 1 : 0); }

  telemetry::Gauge& gauge_;
  Mutex mutex_;
  bool answers_ GUARDED_BY(mutex_) = false;
  std::set<const void*> refused_ GUARDED_BY(mutex_);  // writers whose last call failed
};

}  // namespace mi::store
