// Durations as Prometheus writes them: 1h30m, 500ms.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace mi::query {

// Units y, w, d, h, m, s, ms, each at most once and in this order; "0" stands alone. Nothing for what is none, or would
// overflow.
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text);

}  // namespace mi::query
