// Operators as text, for tests and fuzz targets that write a parsed selector out again.
#pragma once

#include <string_view>

#include "query/selector.h"

namespace mi::query {

inline std::string_view ToString(MatchOperator op) {
  switch (op) {
    case MatchOperator::kEqual: return "=";
    case MatchOperator::kNotEqual: return "!=";
    case MatchOperator::kRegex: return "=~";
    case MatchOperator::kNotRegex: return "!~";
  }
  return "?";
}

}  // namespace mi::query
