// Points in time as text, always in UTC.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mi {

// "2026-11-22T18:00:00.123Z" or "…+02:00" (RFC 3339) in milliseconds since the epoch. Finer fractions are cut off.
std::optional<int64_t> ParseRfc3339(std::string_view text);
// "2026-11-22T18:00:00.123Z". Years 0000 to 9999.
std::string FormatRfc3339(int64_t ms);

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, IMF-fixdate) in seconds since the epoch.
std::optional<int64_t> ParseHttpDate(std::string_view text);
std::string FormatHttpDate(int64_t seconds);

}  // namespace mi
