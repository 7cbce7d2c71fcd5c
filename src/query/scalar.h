// The part of PromQL that needs no samples: numbers, durations, + - * / % ^, time(), pi(), vector() and scalar(). Data
// sources ask for it to see whether a server is there ("1+1", "vector(1)").
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

#include "query/parse_error.h"

namespace mi::query {

struct Value {
  double number = 0;
  bool is_vector = false;  // of one element without labels
};

// `time_ms` is what time() returns, in ms since the epoch.
std::expected<Value, ParseError> Evaluate(std::string_view expression, int64_t time_ms);

// A duration as Prometheus writes it: 1h30m, 500ms. Units y, w, d, h, m, s, ms, each at most once and in this order;
// "0" stands alone. Nothing for anything else, or for a duration that would overflow.
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text);

}  // namespace mi::query
