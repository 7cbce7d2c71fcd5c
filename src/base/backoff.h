// How long to wait before something that failed is tried again.
#pragma once

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstdint>
#include <random>

namespace mi {

// Doubles from `first` to `longest`. Half of each pause is random, so that clients which lost a server at the same
// moment do not return at the same moment.
// Threads: confined to one.
class Backoff {
 public:
  // Requires: 0 < first <= longest.
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds longest)
      : first_(first), longest_(longest), pause_(first) {
    assert(first.count() > 0 && first <= longest);
  }

  // The pause before the next attempt: between one half and the whole of the current step.
  std::chrono::milliseconds Next() {
    const std::chrono::milliseconds pause = pause_;
    pause_ = std::min(pause_ * 2, longest_);
    return pause - std::chrono::milliseconds(random_() % static_cast<uint64_t>(pause.count() / 2 + 1));
  }
  // After a success: the next pause is `first` again.
  void Reset() { pause_ = first_; }

 private:
  const std::chrono::milliseconds first_;
  const std::chrono::milliseconds longest_;
  std::chrono::milliseconds pause_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace mi
