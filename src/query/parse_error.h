// Why a text is not accepted as a selector or as an expression.
#pragma once

#include <cstddef>
#include <string>

namespace mi::query {

struct [[nodiscard]] ParseError {
  enum class Kind {
    kInvalid,      // the text can never be accepted
    kNeedsSamples  // the text may be PromQL, but its value depends on samples, which nobody keeps here
  };
  Kind kind = Kind::kInvalid;
  size_t offset = 0;    // the byte at which the fault begins; 0 if the whole text is at fault
  std::string message;  // in Prometheus' words: "1:4: parse error: unexpected …" (line and column, counted from 1)
};

}  // namespace mi::query
