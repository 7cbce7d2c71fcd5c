#include "query/duration.h"

#include <array>
#include <charconv>
#include <cstdint>

namespace mi::query {
namespace {

struct Unit {
  std::string_view name;
  int64_t ms;
};
constexpr int64_t kDayMs = 24LL * 3600 * 1000;
constexpr std::array<Unit, 7> kUnits = {
    {{"y", 365 * kDayMs}, {"w", 7 * kDayMs}, {"d", kDayMs}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};

}  // namespace

std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  if (text == "0") return std::chrono::milliseconds(0);
  if (text.empty()) return std::nullopt;
  int64_t total = 0;
  auto unit = kUnits.begin();
  while (!text.empty()) {
    int64_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc() || count < 0) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    size_t letters = 0;
    while (letters < text.size() && (text[letters] < '0' || text[letters] > '9')) ++letters;
    while (unit != kUnits.end() && unit->name != text.substr(0, letters)) ++unit;
    if (unit == kUnits.end()) return std::nullopt;
    int64_t part = 0;
    if (__builtin_mul_overflow(count, unit->ms, &part) || __builtin_add_overflow(total, part, &total)) {
      return std::nullopt;
    }
    text.remove_prefix(letters);
    ++unit;
  }
  return std::chrono::milliseconds(total);
}

}  // namespace mi::query
