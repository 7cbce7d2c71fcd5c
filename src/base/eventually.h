// For tests: waits for a condition that can only be polled. Tests wait for conditions, never for a fixed time.
#pragma once

#include <chrono>
#include <thread>

namespace mi {

// Returns true as soon as `holds()` is true, false if it is still false after `patience`: the test has then failed.
template <typename Holds>
bool Eventually(Holds holds, std::chrono::milliseconds patience = std::chrono::seconds(20)) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace mi
