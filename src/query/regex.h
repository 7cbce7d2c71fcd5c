// Regular expressions as Prometheus matches them: RE2 syntax, the whole value, '.' matches a line break too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace re2 {
class RE2;
}

namespace mi::query {

// A compiled expression. A value: copies share the program. Threads: safe; Matches() takes no lock of ours.
class Regex {
 public:
  // Two forms that need no program.
  struct Literals {
    std::vector<std::string> values;  // sorted, each once
  };
  struct Prefix {
    std::string text;
    bool more = false;  // at least one byte behind the prefix: "abc.+", not "abc.*"
  };
  using Program = std::shared_ptr<const re2::RE2>;

  enum class ShortCuts { kTaken, kNotTaken };  // kNotTaken: always a program; for comparing the two ways

  // kInvalid with RE2's message; also for a program of more than kMaxInstructions.
  static Result<Regex> Compile(std::string_view pattern, ShortCuts short_cuts = ShortCuts::kTaken);

  // Costs at most the size of `text` times the number of instructions, and most often far less. Requires: valid UTF-8,
  // as every label value is.
  bool Matches(std::string_view text) const;

  // The values that it matches, if they are a finite list; null otherwise. Looks at no value.
  const std::vector<std::string>* literals() const;
  // The size of its program; 0 if it has one of the forms above.
  size_t instructions() const;
  // Whether it matches every value, '' perhaps excepted.
  bool MatchesAllValues() const;

  // Whether a matcher with this pattern must be compared with every value of its label. Lists of literals need not,
  // unless '' is among several: they are looked up. Nor need ".*" and ".+", which only ask whether the label is there.
  // Compiles nothing.
  static bool ScansValues(std::string_view pattern);

  // A list of 2,000 host names with a suffix has some 20,000 instructions, a word some 10.
  static constexpr size_t kMaxInstructions = 20'000;
  static constexpr int64_t kMaxMemory = int64_t{4} << 20;  // bytes, of a program with its lazily built automaton

 private:
  using Form = std::variant<Literals, Prefix, Program>;
  explicit Regex(Form form) : form_(std::move(form)) {}
  Form form_;
};

}  // namespace mi::query
