// A log for tests that can be searched.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "telemetry/log.h"

namespace mi::telemetry {

// Also prints the lines if MI_TEST_LOG is set; then debug lines are kept too. Threads: safe.
class KeptLog final : public Logger {
 public:
  bool Enabled(Level level) const override { return level != Level::kDebug || shown_; }
  void Write(Level level, std::string_view message) override EXCLUDES(mutex_) {
    if (shown_) std::cerr << static_cast<int>(level) << ' ' << message << '\n';
    MutexLock lock(mutex_);
    lines_.emplace_back(message);
  }
  // The number of lines that contain the text.
  auto Count(std::string_view text) const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return std::ranges::count_if(lines_, [&](const std::string& line) { return line.contains(text); });
  }
  bool Has(std::string_view text) const { return Count(text) > 0; }

 private:
  const bool shown_ = std::getenv("MI_TEST_LOG") != nullptr;
  mutable Mutex mutex_;
  std::vector<std::string> lines_ GUARDED_BY(mutex_);
};

}  // namespace mi::telemetry
