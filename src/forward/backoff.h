// How long to wait before a request is tried again.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string_view>

namespace mi::forward {

// Doubles from a tenth of a second to ten seconds, half of it by chance: who lost a TSDB together does not come back
// together. Threads: confined to one.
class Backoff {
 public:
  std::chrono::milliseconds Next() {
    const std::chrono::milliseconds pause = pause_;
    pause_ = std::min(pause_ * 2, kLongest);
    return pause / 2 + std::chrono::milliseconds(random_() % static_cast<uint64_t>(pause.count() / 2 + 1));
  }
  void Reset() { pause_ = kFirst; }

 private:
  static constexpr std::chrono::milliseconds kFirst{100};
  static constexpr std::chrono::milliseconds kLongest = std::chrono::seconds(10);
  std::chrono::milliseconds pause_ = kFirst;
  std::mt19937_64 random_{std::random_device{}()};
};

// The value of Retry-After: seconds, or a date (RFC 9110, 10.2.3). At most five minutes; nothing where it is neither.
std::optional<std::chrono::milliseconds> ParseRetryAfter(std::string_view value, int64_t now_s);

}  // namespace mi::forward
