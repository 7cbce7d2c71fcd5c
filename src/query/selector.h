// PromQL series selectors: name{a="x",b!="y",c=~"re",d!~"re",}, {"utf8.name","utf8.label"='x'}.
//
// Grammar, escapes and error messages are those of Prometheus 3, with one exception: a string may hold U+FFFD, which
// Prometheus takes for invalid UTF-8. A value compares with the whole label value; an absent label has the value ''.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "query/parse_error.h"
#include "query/regex.h"

namespace mi::query {

enum class MatchOperator { kEqual, kNotEqual, kRegex, kNotRegex };
std::string_view ToString(MatchOperator op);  // "=", "!=", "=~", "!~"

// One condition on one label. A value. Threads: compatible.
class Matcher {
 public:
  // kInvalid if `op` asks for a regular expression and `value` is none.
  static Result<Matcher> Create(std::string name, MatchOperator op, std::string value);

  const std::string& name() const { return name_; }
  MatchOperator op() const { return op_; }
  const std::string& value() const { return value_; }
  const std::optional<Regex>& regex() const { return regex_; }  // of =~ and !~

  bool Matches(std::string_view value) const;
  // Whether it matches '', and thus also the series that do not have the label.
  bool matches_empty() const { return matches_empty_; }

 private:
  Matcher(std::string name, MatchOperator op, std::string value, std::optional<Regex> regex);

  std::string name_;
  MatchOperator op_;
  std::string value_;
  std::optional<Regex> regex_;
  bool matches_empty_;
};

// All matchers must match. At least one of them does not match '', so that nobody asks for everything by a typing
// error.
struct Selector {
  std::vector<Matcher> matchers;
};

inline constexpr size_t kMaxMatchers = 256;  // of one selector

// What the regular expressions of one request may cost that scan all values of their label (Regex::ScansValues).
struct ScanBudget {
  size_t limit;             // their number
  size_t max_instructions;  // of their programs together: compiling takes about 5 µs per instruction
  size_t used = 0;
  size_t instructions = 0;
};

// With a budget, a regular expression beyond its number is refused before it is compiled.
std::expected<Selector, ParseError> ParseSelector(std::string_view text, ScanBudget* budget = nullptr);

// As Prometheus writes it: up{job="api",mode!~"idle|steal"}. Reads back as the same selector.
std::string FormatSelector(const Selector& selector);

}  // namespace mi::query
