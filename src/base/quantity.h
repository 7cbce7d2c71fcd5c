// Counts, sizes and durations as people write them in a configuration or a command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mi {

// Digits only: no sign, no unit, no spaces.
std::optional<uint64_t> ParseWhole(std::string_view text);
// Bytes of "4096", "32MiB", "1.5 GiB". Decimal units (MB) are refused: people use them in two senses.
std::optional<uint64_t> ParseBytes(std::string_view text);
// Milliseconds of "20" (seconds), "0.5", "1500ms", "20s", "5m", "1h30m", "7d".
std::optional<uint64_t> ParseDuration(std::string_view text);

// With the largest unit that leaves a whole number: "32MiB", "1000". ParseBytes reads it back.
std::string WriteBytes(uint64_t bytes);
// "5m", "1500ms", "0s". ParseDuration reads it back.
std::string WriteDuration(uint64_t ms);
// "1800" if `ms` is a whole number of seconds, else as WriteDuration.
std::string WriteSeconds(uint64_t ms);

}  // namespace mi
