// Text formatting for every room. The only header that names the library fmt.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

namespace mi {

using fmt::format;
using fmt::format_string;

// Appends the formatted text. (fmt::format_to would compile most of fmt into every file that calls it.)
void AppendFormatted(std::string& out, fmt::string_view text, fmt::format_args arguments);
template <typename... Args>
void AppendFormat(std::string& out, format_string<Args...> text, Args&&... arguments) {
  AppendFormatted(out, text, fmt::make_format_args(arguments...));
}

// A size for messages, 1024-based, with at most one decimal: "41 MiB", "1.5 KiB", "17 B".
std::string FormatBytes(uint64_t bytes);
// The same for a size above `limit`. Exact ("1048577 B") if both would otherwise read the same.
std::string FormatBytesAbove(uint64_t bytes, uint64_t limit);

}  // namespace mi
