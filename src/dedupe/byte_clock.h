// The one-byte clocks of an entry. A clock is the number of a time unit, modulo 255, plus 1.
//
//   age:  0 ................ kGreatestAge ........ kOldestAge | 241 ... 254
//         given out and asked for    | until the next sweep   | the future
//
// Ages up to kOldestAge are distinguished. The few values beyond mean "a little in the future", so no entry becomes old
// when the machine's clock is set back by a few units.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>

namespace mi::dedupe {

inline constexpr uint32_t kClockTurn = 255;
// No time: the clock of a free slot, and of an entry that is being copied from an older generation.
inline constexpr uint8_t kPendingClock = 0;
inline constexpr uint32_t kOldestAge = 240;
// The oldest age that is given to an entry or compared with.
inline constexpr uint32_t kGreatestAge = 200;

// Units since `then`; 0 for the future.
inline uint32_t Age(uint8_t now, uint8_t then) {
  const uint32_t age = now >= then ? now - then : now + kClockTurn - then;
  return age <= kOldestAge ? age : 0;
}

// The clock that is `age` units old. Requires: age <= kOldestAge.
inline uint8_t ClockOfAge(uint8_t now, uint32_t age) {
  assert(age <= kOldestAge);
  return static_cast<uint8_t>(now > age ? now - age : now + kClockTurn - age);
}

inline uint8_t ClockOfUnit(int64_t unit) { return static_cast<uint8_t>(unit % kClockTurn + 1); }

// Activity windows at one moment. A key's window is (now + phase of the key) / interval, so that the windows of all
// series do not end at the same time.
class ActivityWindows {
 public:
  ActivityWindows(int64_t now_s, uint32_t interval_s)
      : interval_s_(interval_s),
        number_(now_s / interval_s),
        turned_from_(interval_s - static_cast<uint32_t>(now_s % interval_s)),
        clock_{ClockOfUnit(number_), ClockOfUnit(number_ + 1)} {}

  // The clock of the key's window, without a division per key.
  uint8_t ClockOf(uint64_t key) const { return clock_[Turned(key)]; }
  // The number of the key's window.
  int64_t NumberOf(uint64_t key) const { return number_ + (Turned(key) ? 1 : 0); }
  // When the key's window ends, in unix seconds.
  int64_t EndOf(uint64_t key) const { return (NumberOf(key) + 1) * interval_s_ - static_cast<int64_t>(PhaseOf(key)); }

 private:
  uint64_t PhaseOf(uint64_t key) const { return (uint64_t{static_cast<uint32_t>(key)} * interval_s_) >> 32; }
  bool Turned(uint64_t key) const { return PhaseOf(key) >= turned_from_; }

  uint32_t interval_s_;
  int64_t number_;
  uint32_t turned_from_;
  uint8_t clock_[2];
};

// The confirmed clock at one moment. Its unit is a hundredth of `confirm_after`.
class ConfirmClock {
 public:
  ConfirmClock(int64_t now_s, uint64_t confirm_after_s)
      : unit_s_(static_cast<int64_t>(UnitOf(confirm_after_s))),
        units_(static_cast<uint32_t>(confirm_after_s / UnitOf(confirm_after_s))),
        number_(now_s / unit_s_),
        now_(ClockOfUnit(number_)) {}

  static uint64_t UnitOf(uint64_t confirm_after_s) { return std::max<uint64_t>(1, (confirm_after_s + 99) / 100); }

  bool enabled() const { return units_ != 0; }
  uint8_t now() const { return now_; }

  // Due at an age between 75 % and 100 % of confirm_after, which depends on the key. Clocks are rounded down, so `>`
  // and not `>=`: no entry is due before 75 %.
  bool Due(uint64_t key, uint8_t confirmed) const { return Age(now_, confirmed) > UndueUnits(key); }
  // When that will be, in unix seconds, or in the past.
  int64_t DueAt(uint64_t key, uint8_t confirmed) const {
    return (number_ - Age(now_, confirmed) + UndueUnits(key) + 1) * unit_s_;
  }

 private:
  uint32_t UndueUnits(uint64_t key) const {
    const uint64_t jitter = ((key * 0x9e3779b97f4a7c15) >> 32) * (units_ / 4 + 1) >> 32;
    return static_cast<uint32_t>((uint64_t{units_} * 3 + 3) / 4 + jitter);
  }

  int64_t unit_s_;
  uint32_t units_;
  int64_t number_;
  uint8_t now_;
};

}  // namespace mi::dedupe
