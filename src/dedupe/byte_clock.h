// The one-byte clocks of an entry: a point in time as a number of units, modulo 255, from 1 on.
//
// Ages up to kOldestAge are told apart; the few values beyond stand for "a little in the future", so that a machine's
// clock that is set back by some units makes nobody old.
#pragma once

#include <algorithm>
#include <cstdint>

namespace mi::dedupe {

inline constexpr uint32_t kClockTurn = 255;
// No time: a free slot's clock, and that of an entry which is still on its way from an older generation.
inline constexpr uint8_t kPendingClock = 0;
inline constexpr uint32_t kOldestAge = 240;
// The oldest age that is given out or asked for: the rest is the time until a sweep comes by.
inline constexpr uint32_t kGreatestAge = 200;

// Units since `then`; 0 for the future.
inline uint32_t Age(uint8_t now, uint8_t then) {
  const uint32_t age = now >= then ? now - then : now + kClockTurn - then;
  return age <= kOldestAge ? age : 0;
}

// The clock that is `age` units old. Requires: age <= kOldestAge.
inline uint8_t ClockOfAge(uint8_t now, uint32_t age) {
  return static_cast<uint8_t>(now > age ? now - age : now + kClockTurn - age);
}

inline uint8_t ClockOfUnit(int64_t unit) { return static_cast<uint8_t>(unit % kClockTurn + 1); }

// Activity windows at one moment. Their borders are phased by key, so that they do not all turn at once.
class ActivityWindows {
 public:
  ActivityWindows(int64_t now_s, uint32_t interval_s)
      : interval_s_(interval_s),
        number_(now_s / interval_s),
        turned_from_(interval_s - static_cast<uint32_t>(now_s % interval_s)),
        clock_{ClockOfUnit(number_), ClockOfUnit(number_ + 1)} {}

  // The clock of (now_s + phase) / interval, without a division a key.
  uint8_t ClockOf(uint64_t key) const { return clock_[Turned(key)]; }
  // The same, not reduced.
  int64_t NumberOf(uint64_t key) const { return number_ + (Turned(key) ? 1 : 0); }

 private:
  bool Turned(uint64_t key) const {
    const uint64_t phase = (uint64_t{static_cast<uint32_t>(key)} * interval_s_) >> 32;
    return phase >= turned_from_;
  }

  uint32_t interval_s_;
  int64_t number_;
  uint32_t turned_from_;
  uint8_t clock_[2];
};

// The confirmed clock at one moment: `confirm_after` is about a hundred units.
class ConfirmClock {
 public:
  ConfirmClock(int64_t now_s, uint64_t confirm_after_s)
      : units_(static_cast<uint32_t>(confirm_after_s / UnitOf(confirm_after_s))),
        now_(ClockOfUnit(now_s / static_cast<int64_t>(UnitOf(confirm_after_s)))) {}

  static uint64_t UnitOf(uint64_t confirm_after_s) { return std::max<uint64_t>(1, (confirm_after_s + 99) / 100); }

  bool enabled() const { return units_ != 0; }
  uint8_t now() const { return now_; }

  // From 75 % of confirm_after on, at a point that the key decides. A clock is rounded down: one more unit, so that
  // nothing is due before.
  bool Due(uint64_t key, uint8_t confirmed) const {
    const uint64_t jitter = ((key * 0x9e3779b97f4a7c15) >> 32) * (units_ / 4 + 1) >> 32;
    return Age(now_, confirmed) > (uint64_t{units_} * 3 + 3) / 4 + jitter;
  }

 private:
  uint32_t units_;
  uint8_t now_;
};

}  // namespace mi::dedupe
