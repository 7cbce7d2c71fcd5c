// Asks again and again, for what can only be asked. For tests: they wait for the thing, not for a time.
#pragma once

#include <chrono>
#include <thread>

namespace mi {

// Whether it holds before the patience ends; a test that waits so long has failed.
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
