// Formatting for every room; the one place that names the library behind it.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

namespace mi {

using fmt::format;
using fmt::format_string;

// Appends what is formatted. fmt::format_to would compile the whole of the library into every unit that calls it.
void AppendFormatted(std::string& out, fmt::string_view text, fmt::format_args arguments);
template <typename... Args>
void AppendFormat(std::string& out, format_string<Args...> text, Args&&... arguments) {
  AppendFormatted(out, text, fmt::make_format_args(arguments...));
}

// "41 MiB", "512 KiB", "17 B": sizes as people say them in messages (1024-based, at most one decimal).
std::string FormatBytes(uint64_t bytes);
// The same for what is above `limit`, but exact where the two would otherwise read alike: "1048577 B".
std::string FormatBytesAbove(uint64_t bytes, uint64_t limit);

}  // namespace mi
