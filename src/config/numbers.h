// Numbers with units, as people write them in a configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mi::config {

// "4096", "32MiB", "1.5 GiB". Nothing for decimal units (MB), which say two things.
std::optional<uint64_t> ParseBytes(std::string_view text);
// Milliseconds of "20" (seconds), "0.5", "1500ms", "20s", "5m", "1h30m", "7d".
std::optional<uint64_t> ParseDuration(std::string_view text);
std::optional<uint64_t> ParseWhole(std::string_view text);

// The largest unit that leaves a whole number: "32MiB", "1000".
std::string WriteBytes(uint64_t bytes);
// The same: "5m", "1500ms", "0s".
std::string WriteDuration(uint64_t ms);
// "1800" seconds where they are whole, else as WriteDuration.
std::string WriteSeconds(uint64_t ms);

}  // namespace mi::config
