// PromQL series selectors: name{a="x",b!="y",c=~"re",d!~"re",}, {"utf8.name","utf8.label"='x'}.
//
// Grammar, escapes and error texts are Prometheus 3's, except that a string may hold U+FFFD, which Prometheus takes for
// broken UTF-8. A value compares with the whole label value; an absent label has the value ''.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "query/regex.h"

namespace mi::query {

enum class MatchOperator { kEqual, kNotEqual, kRegex, kNotRegex };

std::string_view ToString(MatchOperator op);  // "=", "!=", "=~", "!~"

// One condition on one label. A value. Threads: compatible.
class Matcher {
 public:
  // kInvalid when `value` is asked to be a regular expression and is none.
  static Result<Matcher> Create(std::string name, MatchOperator op, std::string value);

  const std::string& name() const { return name_; }
  MatchOperator op() const { return op_; }
  const std::string& value() const { return value_; }
  const std::optional<Regex>& regex() const { return regex_; }  // of =~ and !~

  bool Matches(std::string_view value) const;
  // Then it also matches series that have no such label.
  bool matches_empty() const { return matches_empty_; }

 private:
  Matcher(std::string name, MatchOperator op, std::string value, std::optional<Regex> regex);

  std::string name_;
  MatchOperator op_;
  std::string value_;
  std::optional<Regex> regex_;
  bool matches_empty_;
};

// All must match. At least one of them does not match the empty string, so that nobody asks for everything by a typo.
struct Selector {
  std::vector<Matcher> matchers;
};

// What is wrong with the text of a selector.
class [[nodiscard]] SelectorError {
 public:
  enum class Kind {
    kSyntax,       // cannot be read; offset() says where
    kEverything,   // can be read, but each matcher matches the empty string
    kTooExpensive  // more than kMaxMatchers, or over the budget of walks
  };
  SelectorError(Kind kind, size_t offset, std::string message)
      : kind_(kind), offset_(offset), message_(std::move(message)) {}

  Kind kind() const { return kind_; }
  // The byte at which the fault begins; 0 where it is the whole.
  size_t offset() const { return offset_; }
  // For people, as Prometheus says it: "1:4: parse error: unexpected …" (line and column count from 1).
  const std::string& message() const { return message_; }

 private:
  Kind kind_;
  size_t offset_;
  std::string message_;
};

inline constexpr size_t kMaxMatchers = 256;  // of one selector

std::expected<Selector, SelectorError> ParseSelector(std::string_view text);
// How many regular expressions of several selectors may be held against every value of their label (Regex::NeedsWalk).
struct WalkBudget {
  size_t limit;
  size_t taken = 0;
};
// The same for one of several. A regular expression too many is refused before it is compiled.
std::expected<Selector, SelectorError> ParseSelector(std::string_view text, WalkBudget& walks);

}  // namespace mi::query
