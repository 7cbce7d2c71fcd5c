#include "base/quantity.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/ascii.h"
#include "base/format.h"

namespace mi {
namespace {

using Unit = std::pair<std::string_view, uint64_t>;

// Largest first.
constexpr std::array<Unit, 5> kByteUnits = {Unit{"TiB", uint64_t{1} << 40},
                                            {"GiB", uint64_t{1} << 30},
                                            {"MiB", uint64_t{1} << 20},
                                            {"KiB", uint64_t{1} << 10},
                                            {"B", 1}};
constexpr std::array<Unit, 5> kTimeUnits = {
    Unit{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}};

constexpr double kLargest = 9'007'199'254'740'992;  // 2^53: up to here a double counts exactly

// Removes a number such as 1.5 from the front of `text`.
std::optional<double> TakeNumber(std::string_view& text) {
  if (text.empty() || !IsDigit(text.front())) return std::nullopt;  // no sign, no inf, no nan
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

// Removes the letters at the front of `text` and returns the size of the unit that they name.
template <size_t kCount>
std::optional<uint64_t> TakeUnit(const std::array<Unit, kCount>& units, std::string_view& text) {
  size_t letters = 0;
  while (letters < text.size() && !IsDigit(text[letters])) ++letters;
  const auto word = TrimSpace(text.substr(0, letters));
  text.remove_prefix(letters);
  for (const auto& [name, size] : units) {
    if (name == word) return size;
  }
  return std::nullopt;
}

std::optional<uint64_t> Whole(double number) {
  if (number > kLargest || number != std::floor(number)) return std::nullopt;
  return static_cast<uint64_t>(number);
}

template <size_t kCount>
std::string Write(const std::array<Unit, kCount>& units, uint64_t number) {
  for (const auto& [name, size] : units) {
    if (number % size == 0) return format("{}{}", number / size, name);
  }
  return format("{}", number);
}

}  // namespace

std::optional<uint64_t> ParseWhole(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<uint64_t> ParseBytes(std::string_view text) {
  if (const auto plain = ParseWhole(text)) return plain;
  const auto number = TakeNumber(text);
  if (!number) return std::nullopt;
  const auto unit = TakeUnit(kByteUnits, text);
  if (!unit || !text.empty()) return std::nullopt;
  return Whole(*number * static_cast<double>(*unit));
}

std::optional<uint64_t> ParseDuration(std::string_view text) {
  constexpr double kMsPerSecond = 1000;
  double ms = 0;
  bool first = true;
  do {
    const auto number = TakeNumber(text);
    if (!number) return std::nullopt;
    if (first && text.empty()) return Whole(*number * kMsPerSecond);
    const auto unit = TakeUnit(kTimeUnits, text);
    if (!unit) return std::nullopt;
    ms += *number * static_cast<double>(*unit);
    first = false;
  } while (!text.empty());
  return Whole(ms);
}

std::string WriteBytes(uint64_t bytes) {
  if (bytes % 1024 != 0 || bytes == 0) return format("{}", bytes);
  return Write(kByteUnits, bytes);
}

std::string WriteDuration(uint64_t ms) {
  if (ms == 0) return "0s";
  return Write(kTimeUnits, ms);
}

std::string WriteSeconds(uint64_t ms) {
  if (ms % 1000 == 0) return format("{}", ms / 1000);
  return WriteDuration(ms);
}

}  // namespace mi
