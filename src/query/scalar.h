// The little of PromQL that needs no samples: numbers, + - * / % ^, time(), pi(), vector() and scalar(). It is what
// data sources ask to see whether somebody is there ("1+1", "vector(1)").
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace mi::query {

struct Value {
  double number = 0;
  bool is_vector = false;  // of one element without labels
};

class [[nodiscard]] ScalarError {
 public:
  enum class Kind {
    kSyntax,       // is no expression
    kNeedsSamples  // may be PromQL, but asks for more than this
  };
  ScalarError(Kind kind, std::string message) : kind_(kind), message_(std::move(message)) {}
  Kind kind() const { return kind_; }
  const std::string& message() const { return message_; }

 private:
  Kind kind_;
  std::string message_;
};

// `time_ms`: what time() says, ms since the epoch.
std::expected<Value, ScalarError> Evaluate(std::string_view expression, int64_t time_ms);

}  // namespace mi::query
