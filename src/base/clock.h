// The only source of time, so that tests can control it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace mi {

// Threads: safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Milliseconds since the Unix epoch. Jumps when the machine's clock is set.
  virtual int64_t NowMs() const = 0;
  // Monotonic: for time-outs and durations.
  virtual std::chrono::steady_clock::time_point Steady() const = 0;

  int64_t NowSeconds() const { return NowMs() / 1000; }
};

class SystemClock final : public Clock {
 public:
  int64_t NowMs() const override {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
  }
  std::chrono::steady_clock::time_point Steady() const override { return std::chrono::steady_clock::now(); }
};

// A clock for tests: it moves only when Advance() is called.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(int64_t now_ms = 1'700'000'000'000) : now_ms_(now_ms) {}

  int64_t NowMs() const override { return now_ms_; }
  std::chrono::steady_clock::time_point Steady() const override {
    return std::chrono::steady_clock::time_point(std::chrono::milliseconds(now_ms_));
  }
  void Advance(std::chrono::milliseconds by) { now_ms_ += by.count(); }

 private:
  std::atomic<int64_t> now_ms_;
};

}  // namespace mi
