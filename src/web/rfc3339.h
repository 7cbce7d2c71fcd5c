// Points in time as RFC 3339 writes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace mi::web {

// "2026-11-22T18:00:00.123Z", "…+02:00": ms since the epoch, finer fractions cut off. Nothing for what is none.
std::optional<int64_t> ParseRfc3339(std::string_view text);

}  // namespace mi::web
