#include "base/time_text.h"

#include <time.h>

#include <chrono>

#include "base/ascii.h"
#include "base/format.h"

namespace mi {

using namespace std::chrono;

namespace {

// Takes pieces from the front of a text. Once a piece is missing, ok() stays false.
class Pieces {
 public:
  explicit Pieces(std::string_view text) : text_(text) {}

  bool ok() const { return ok_; }
  bool at_end() const { return text_.empty(); }
  char front() const { return text_.empty() ? '\0' : text_.front(); }

  // Exactly `digits` digits, at most `max`.
  int Number(size_t digits, int max) {
    int number = 0;
    for (size_t i = 0; i < digits; ++i) {
      if (!IsDigit(front())) return Fail();
      number = number * 10 + (Take() - '0');
    }
    return number <= max ? number : Fail();
  }
  void Expect(char c) {
    if (front() == c) {
      Take();
    } else {
      Fail();
    }
  }
  char Take() {
    const char c = front();
    if (!text_.empty()) text_.remove_prefix(1);
    return c;
  }
  // ".123456": the first three digits.
  int Milliseconds() {
    int ms = 0;
    Expect('.');
    if (!IsDigit(front())) return Fail();
    for (int weight = 100; IsDigit(front()); weight /= 10) ms += weight * (Take() - '0');
    return ms;
  }

 private:
  int Fail() {
    ok_ = false;
    return 0;
  }
  std::string_view text_;
  bool ok_ = true;
};

}  // namespace

std::optional<int64_t> ParseRfc3339(std::string_view text) {
  Pieces pieces(text);
  const year year_part(pieces.Number(4, 9999));
  pieces.Expect('-');
  const month month_part(static_cast<unsigned>(pieces.Number(2, 12)));
  pieces.Expect('-');
  const day day_part(static_cast<unsigned>(pieces.Number(2, 31)));
  pieces.Expect('T');
  const hours hour_part(pieces.Number(2, 23));
  pieces.Expect(':');
  const minutes minute_part(pieces.Number(2, 59));
  pieces.Expect(':');
  const seconds second_part(pieces.Number(2, 59));
  const milliseconds fraction(pieces.front() == '.' ? pieces.Milliseconds() : 0);
  minutes offset{0};
  if (const char zone = pieces.Take(); zone == '+' || zone == '-') {
    offset = hours(pieces.Number(2, 23));
    pieces.Expect(':');
    offset += minutes(pieces.Number(2, 59));
    if (zone == '-') offset = -offset;
  } else if (zone != 'Z') {
    return std::nullopt;
  }
  const year_month_day date(year_part, month_part, day_part);
  if (!pieces.ok() || !pieces.at_end() || !date.ok()) return std::nullopt;
  const auto time = sys_days(date) + hour_part + minute_part + second_part + fraction - offset;
  return duration_cast<milliseconds>(time.time_since_epoch()).count();
}

std::string FormatRfc3339(int64_t ms) {
  const sys_time<milliseconds> time{milliseconds(ms)};
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(time - day);
  return format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", int{date.year()}, unsigned{date.month()},
                unsigned{date.day()}, clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                clock.subseconds().count());
}

std::optional<int64_t> ParseHttpDate(std::string_view text) {
  tm date{};
  const std::string terminated(text);
  const char* rest = strptime(terminated.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
  if (rest == nullptr || *rest != '\0') return std::nullopt;
  return timegm(&date);
}

// Not strftime, whose names depend on the locale.
std::string FormatHttpDate(int64_t seconds) {
  constexpr const char* kWeekdays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  tm utc{};
  const time_t time = seconds;
  gmtime_r(&time, &utc);
  return format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kWeekdays[utc.tm_wday], utc.tm_mday, kMonths[utc.tm_mon],
                utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

}  // namespace mi
