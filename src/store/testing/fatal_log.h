// A FatalHandler for tests: records the errors and returns.
#pragma once

#include <string>
#include <vector>

#include "base/fatal.h"
#include "base/mutex.h"

namespace mi::store {

inline void IgnoreFatal(const Error&) {}

// Threads: safe. Must outlive what has its handler.
class FatalLog {
 public:
  FatalHandler Handler() {
    return [this](const Error& error) {
      MutexLock lock(mutex_);
      messages_.push_back(error.message());
    };
  }
  std::vector<std::string> messages() const {
    MutexLock lock(mutex_);
    return messages_;
  }

 private:
  mutable Mutex mutex_;
  std::vector<std::string> messages_ GUARDED_BY(mutex_);
};

}  // namespace mi::store
