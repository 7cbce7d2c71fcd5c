// Formatting for every room; the one place that names the library behind it.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

namespace mi {

using fmt::format;
using fmt::format_string;
using fmt::format_to;

// "41 MiB", "512 KiB", "17 B": sizes as people say them in messages (1024-based, at most one decimal).
std::string FormatBytes(uint64_t bytes);
// The same for what is above `limit`, but exact where the two would otherwise read alike: "1048577 B".
std::string FormatBytesAbove(uint64_t bytes, uint64_t limit);

}  // namespace mi
