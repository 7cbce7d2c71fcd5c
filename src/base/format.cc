#include "base/format.h"

#include <array>
#include <cmath>
#include <iterator>
#include <string_view>

namespace mi {

void AppendFormatted(std::string& out, fmt::string_view text, fmt::format_args arguments) {
  fmt::vformat_to(std::back_inserter(out), text, arguments);
}

std::string FormatBytes(uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  const double rounded = std::round(value * 10) / 10;
  if (rounded == std::floor(rounded)) return format("{:.0f} {}", rounded, kUnits[unit]);
  return format("{:.1f} {}", rounded, kUnits[unit]);
}

std::string FormatBytesAbove(uint64_t bytes, uint64_t limit) {
  std::string text = FormatBytes(bytes);
  return text == FormatBytes(limit) ? format("{} B", bytes) : text;
}

}  // namespace mi
