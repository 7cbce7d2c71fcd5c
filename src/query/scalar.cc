#include "query/scalar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>

#include "base/ascii.h"
#include "base/format.h"
#include "base/result.h"

namespace mi::query {
namespace {

using Evaluated = std::expected<Value, ParseError>;

constexpr int kMaxDepth = 100;  // of parentheses, signs and powers: bounds the stack of the recursive descent

bool IsWordPart(char c) { return IsAlnum(c) || c == '_'; }

double Apply(char op, double left, double right) {
  switch (op) {
    case '+': return left + right;
    case '-': return left - right;
    case '*': return left * right;
    case '/': return left / right;
    case '%': return std::fmod(left, right);
    default: return std::pow(left, right);
  }
}

Value Apply(char op, Value left, Value right) {
  return {.number = Apply(op, left.number, right.number), .is_vector = left.is_vector || right.is_vector};
}

bool IsHexadecimal(std::string_view word) { return word.starts_with("0x") || word.starts_with("0X"); }

// Decimal, hexadecimal, or a duration in seconds.
std::optional<double> ParseNumber(std::string_view word) {
  if (IsHexadecimal(word)) {
    uint64_t number = 0;
    const auto [at, error] = std::from_chars(word.begin() + 2, word.end(), number, 16);
    if (error != std::errc() || at != word.end()) return std::nullopt;
    return static_cast<double>(number);
  }
  double number = 0;
  const auto [at, error] = std::from_chars(word.begin(), word.end(), number);
  if (at != word.end()) {
    const auto duration = ParseDuration(word);
    if (!duration) return std::nullopt;
    return std::chrono::duration<double>(*duration).count();
  }
  if (error != std::errc()) return std::nullopt;
  return number;
}

// Recursive descent with Prometheus' precedences, one function per rule:
//
//   sum      = product { ("+" | "-") product }
//   product  = signed { ("*" | "/" | "%") signed }
//   signed   = ("+" | "-") signed | power
//   power    = primary [ "^" signed ]          binds to the right; -2^2 is -(2^2), but 2^-1 is allowed
//   primary  = "(" sum ")" | number | function
//
// Each rule computes its value at once; there is no tree. Every function leaves `at_` behind the blanks that follow.
class Evaluator {
 public:
  Evaluator(std::string_view text, int64_t time_ms) : text_(text), time_ms_(time_ms) {}

  Evaluated Run() {
    SkipBlanks();
    if (AtEnd()) return Syntax("no expression found in input");
    const Value value = TRY(Sum());
    return AtEnd() ? Evaluated(value) : Unexpected();
  }

 private:
  Evaluated Sum() { return Chain("+-", &Evaluator::Product); }
  Evaluated Product() { return Chain("*/%", &Evaluator::Signed); }

  Evaluated Chain(std::string_view operators, Evaluated (Evaluator::*operand)()) {
    Value left = TRY((this->*operand)());
    while (!AtEnd() && operators.contains(Peek())) {
      const char op = Take();
      left = Apply(op, left, TRY((this->*operand)()));
    }
    return left;
  }

  // Every recursion of the descent passes through here, so this is where its depth is bounded. An error ends the whole
  // descent, so only a success counts back.
  Evaluated Signed() {
    if (++depth_ > kMaxDepth) return Syntax(format("nested more than {} deep", kMaxDepth));
    const bool has_sign = !AtEnd() && (Peek() == '-' || Peek() == '+');
    const bool negative = has_sign && Take() == '-';
    Value value = TRY(has_sign ? Signed() : Power());
    if (negative) value.number = -value.number;
    --depth_;
    return value;
  }

  Evaluated Power() {
    const Value base = TRY(Primary());
    if (AtEnd() || Peek() != '^') return base;
    Take();
    return Apply('^', base, TRY(Signed()));
  }

  Evaluated Primary() {
    if (AtEnd()) return Syntax("unexpected end of input");
    if (Peek() == '(') {
      Take();
      const Value value = TRY(Sum());
      if (TakeIf(')')) return value;
      return AtEnd() ? Evaluated(Syntax("unclosed left parenthesis")) : Unexpected();
    }
    if (IsDigit(Peek()) || Peek() == '.') return Number();
    if (IsWordPart(Peek())) return Function();
    return Unexpected();
  }

  Evaluated Number() {
    const size_t from = at_;
    while (!AtEnd() && (IsWordPart(Peek()) || Peek() == '.' || IsExponentSign(from))) ++at_;
    const std::string_view word = text_.substr(from, at_ - from);
    const std::optional<double> number = ParseNumber(word);
    if (!number) return Syntax(format("bad number or duration syntax: \"{}\"", word));
    SkipBlanks();
    return Value{.number = *number};
  }

  // The sign of 1e-5 is part of the number.
  bool IsExponentSign(size_t from) const {
    if (at_ == from || (Peek() != '-' && Peek() != '+')) return false;
    return ToLower(text_[at_ - 1]) == 'e' && !IsHexadecimal(text_.substr(from));
  }

  Evaluated Function() {
    const size_t from = at_;
    while (!AtEnd() && IsWordPart(Peek())) ++at_;
    const std::string_view word = text_.substr(from, at_ - from);
    SkipBlanks();
    if (EqualsIgnoringCase(word, "inf")) return Value{.number = std::numeric_limits<double>::infinity()};
    if (EqualsIgnoringCase(word, "nan")) return Value{.number = std::numeric_limits<double>::quiet_NaN()};
    if (!TakeIf('(')) return NeedsSamples();
    if (word == "time" || word == "pi") {
      if (!TakeIf(')')) return NeedsSamples();
      return Value{.number = word == "pi" ? std::numbers::pi : static_cast<double>(time_ms_) / 1000};
    }
    if (word != "vector" && word != "scalar") return NeedsSamples();
    const Value value = TRY(Sum());
    if (!TakeIf(')')) return NeedsSamples();
    const bool makes_vector = word == "vector";
    if (value.is_vector == makes_vector) {
      return Syntax(format("expected type {} in call to function \"{}\", got {}",
                           makes_vector ? "scalar" : "instant vector", word,
                           makes_vector ? "instant vector" : "scalar"));
    }
    return Value{.number = value.number, .is_vector = makes_vector};
  }

  // A character that only this subset of PromQL could contain here is a syntax error. Any other may begin PromQL that
  // needs samples.
  Evaluated Unexpected() const {
    if (!std::string_view("),*/%^+-").contains(Peek())) return NeedsSamples();
    return Syntax(format("unexpected '{}'", Peek()));
  }
  std::unexpected<ParseError> Syntax(std::string_view what) const {
    return std::unexpected(ParseError{.offset = at_, .message = format("1:{}: parse error: {}", at_ + 1, what)});
  }
  static std::unexpected<ParseError> NeedsSamples() {
    return std::unexpected(ParseError{
        .kind = ParseError::Kind::kNeedsSamples,
        .message = "this is a catalogue of series identities without samples: of PromQL it evaluates numbers, "
                   "+ - * / % ^, time(), pi(), vector() and scalar(); ask /api/v1/series, /api/v1/labels and "
                   "/api/v1/label/<name>/values what exists"});
  }

  bool AtEnd() const { return at_ == text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }
  char Take() {
    const char c = text_[at_++];
    SkipBlanks();
    return c;
  }
  bool TakeIf(char c) {
    if (AtEnd() || Peek() != c) return false;
    Take();
    return true;
  }
  void SkipBlanks() {
    while (!AtEnd() && std::string_view(" \t\r\n").contains(Peek())) ++at_;
  }

  std::string_view text_;
  const int64_t time_ms_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

std::expected<Value, ParseError> Evaluate(std::string_view expression, int64_t time_ms) {
  return Evaluator(expression, time_ms).Run();
}

// "1h30m": numbers with units, each unit at most once and from the largest to the smallest, as in Prometheus. `unit`
// moves through the table and never back, which enforces both rules.
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  struct Unit {
    std::string_view name;
    int64_t ms;
  };
  constexpr int64_t kDayMs = 86'400'000;
  static constexpr std::array<Unit, 7> kUnits = {
      {{"y", 365 * kDayMs}, {"w", 7 * kDayMs}, {"d", kDayMs}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};
  if (text == "0") return std::chrono::milliseconds(0);
  if (text.empty()) return std::nullopt;
  int64_t total = 0;
  auto unit = kUnits.begin();  // the first one that may still come
  while (!text.empty()) {
    int64_t count = 0;
    const auto [end, error] = std::from_chars(text.begin(), text.end(), count);
    if (error != std::errc() || count < 0) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.begin()));
    const std::string_view name = text.substr(0, text.find_first_of("0123456789"));
    unit = std::find_if(unit, kUnits.end(), [&](const Unit& one) { return one.name == name; });
    if (unit == kUnits.end()) return std::nullopt;
    int64_t part = 0;
    if (__builtin_mul_overflow(count, unit->ms, &part) || __builtin_add_overflow(total, part, &total)) {
      return std::nullopt;
    }
    text.remove_prefix(name.size());
    ++unit;
  }
  return std::chrono::milliseconds(total);
}

}  // namespace mi::query
