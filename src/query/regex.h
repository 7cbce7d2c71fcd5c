// Regular expressions as Prometheus matches them: RE2 syntax, the whole value, '.' takes a line break too.
#pragma once

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

// A compiled expression. A value: copies share the program. Threads: safe, Matches() is const and takes no lock of
// ours.
class Regex {
 public:
  // What it matches, where that can be said without a program.
  struct Literals {
    std::vector<std::string> values;  // sorted, each once
  };
  struct Prefix {
    std::string text;
    bool more = false;  // at least one byte behind the prefix: "abc.+", not "abc.*"
  };
  using Program = std::shared_ptr<const re2::RE2>;

  enum class ShortCuts { kTaken, kNotTaken };  // kNotTaken is for comparing the two ways

  // kInvalid says what is wrong with it, in RE2's words; also when its program would need more than kMaxMemory.
  static Result<Regex> Compile(std::string_view pattern, ShortCuts short_cuts = ShortCuts::kTaken);

  // Requires valid UTF-8, as every label value is. Linear in its length.
  bool Matches(std::string_view text) const;

  // The values that it matches, when they are a finite list; null otherwise. Answers without looking at any value.
  const std::vector<std::string>* literals() const;
  // Whether it holds a compiled program, of up to kMaxMemory, rather than a short cut.
  bool has_program() const { return std::holds_alternative<Program>(form_); }
  // Whether it matches every value but possibly ''.
  bool MatchesAllValues() const;

  // Whether a matcher of it has to be held against every value of its label: not a list of literals, which are looked
  // up, unless '' is among others there; nor ".*" and ".+", which ask for the label only. Compiles nothing.
  static bool NeedsWalk(std::string_view pattern);

  static constexpr int64_t kMaxMemory = int64_t{4} << 20;  // program and its lazily built automaton, bytes

 private:
  using Form = std::variant<Literals, Prefix, Program>;
  explicit Regex(Form form) : form_(std::move(form)) {}
  Form form_;
};

}  // namespace mi::query
