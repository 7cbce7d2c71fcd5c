#include "query/scalar.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <string>

#include "base/format.h"
#include "query/duration.h"
#include "query/utf8.h"

namespace mi::query {
namespace {

using Evaluated = std::expected<Value, ScalarError>;

constexpr int kMaxDepth = 100;  // of parentheses, signs and powers: the descent must not outgrow its stack

bool IsWordPart(char c) { return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

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

// Decimal, hexadecimal, or a duration in seconds.
std::optional<double> ParseNumber(std::string_view word) {
  const char* end = word.data() + word.size();
  const bool hex = word.starts_with("0x") || word.starts_with("0X");
  if (hex) {
    uint64_t number = 0;
    const auto [at, error] = std::from_chars(word.data() + 2, end, number, 16);
    if (error != std::errc() || at != end) return std::nullopt;
    return static_cast<double>(number);
  }
  double number = 0;
  const auto [at, error] = std::from_chars(word.data(), end, number);
  if (at == end && error == std::errc()) return number;
  if (at == end && error == std::errc::result_out_of_range) return std::nullopt;
  if (const auto duration = ParseDuration(word)) return std::chrono::duration<double>(*duration).count();
  return std::nullopt;
}

// Recursive descent with Prometheus' precedences: ^ binds to the right and before a sign, then * / %, then + -.
class Evaluator {
 public:
  Evaluator(std::string_view text, int64_t time_ms) : text_(text), time_ms_(time_ms) {}

  Evaluated Run() {
    SkipBlanks();
    if (AtEnd()) return Syntax("no expression found in input");
    Evaluated value = Sum();
    if (value && !AtEnd()) return Unexpected();
    return value;
  }

 private:
  Evaluated Sum() { return Chain("+-", &Evaluator::Product); }
  Evaluated Product() { return Chain("*/%", &Evaluator::Signed); }

  Evaluated Chain(std::string_view operators, Evaluated (Evaluator::*operand)()) {
    Evaluated left = (this->*operand)();
    while (left && !AtEnd() && operators.contains(Peek())) {
      const char op = Take();
      const Evaluated right = (this->*operand)();
      if (!right) return right;
      left = Join(op, *left, *right);
    }
    return left;
  }

  Evaluated Signed() {
    if (AtEnd() || (Peek() != '-' && Peek() != '+')) return Power();
    const Deeper deeper(*this);
    if (depth_ > kMaxDepth) return TooDeep();
    const bool negative = Take() == '-';
    Evaluated value = Signed();
    if (value && negative) value->number = -value->number;
    return value;
  }

  Evaluated Power() {
    const Deeper deeper(*this);
    if (depth_ > kMaxDepth) return TooDeep();
    const Evaluated base = Primary();
    if (!base || AtEnd() || Peek() != '^') return base;
    Take();
    // A sign may stand before an exponent, and binds closer there: 2^-1.
    const Evaluated exponent = Signed();
    if (!exponent) return exponent;
    return Join('^', *base, *exponent);
  }

  Evaluated Primary() {
    if (AtEnd()) return Syntax("unexpected end of input");
    if (Peek() == '(') {
      Take();
      Evaluated value = Sum();
      if (value && !TakeIf(')')) return AtEnd() ? Evaluated(Syntax("unclosed left parenthesis")) : Unexpected();
      return value;
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

  // Of 1e-5: the sign is part of the number.
  bool IsExponentSign(size_t from) const {
    const bool hex = text_.substr(from).starts_with("0x") || text_.substr(from).starts_with("0X");
    const char before = at_ > from ? text_[at_ - 1] : '\0';
    return !hex && (Peek() == '-' || Peek() == '+') && (before == 'e' || before == 'E');
  }

  Evaluated Function() {
    const size_t from = at_;
    while (!AtEnd() && IsWordPart(Peek())) ++at_;
    const std::string_view word = text_.substr(from, at_ - from);
    std::string lower(word);
    std::ranges::transform(lower, lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    SkipBlanks();
    if (lower == "inf") return Value{.number = std::numeric_limits<double>::infinity()};
    if (lower == "nan") return Value{.number = std::numeric_limits<double>::quiet_NaN()};
    if (!TakeIf('(')) return NeedsSamples();
    if (word == "time" || word == "pi") {
      if (!TakeIf(')')) return NeedsSamples();
      return Value{.number = word == "pi" ? std::numbers::pi : static_cast<double>(time_ms_) / 1000};
    }
    if (word != "vector" && word != "scalar") return NeedsSamples();
    Evaluated value = Sum();
    if (!value) return value;
    if (!TakeIf(')')) return NeedsSamples();
    const bool makes_vector = word == "vector";
    if (value->is_vector == makes_vector) {
      return Syntax(format("expected type {} in call to function \"{}\", got {}",
                           makes_vector ? "scalar" : "instant vector", word,
                           makes_vector ? "instant vector" : "scalar"));
    }
    value->is_vector = makes_vector;
    return value;
  }

  static Value Join(char op, Value left, Value right) {
    return {.number = Apply(op, left.number, right.number), .is_vector = left.is_vector || right.is_vector};
  }

  // What stands at at_ is more PromQL, or nothing that anybody could read.
  Evaluated Unexpected() const {
    static constexpr std::string_view kOnlyHere = "),*/%^+-";
    if (!kOnlyHere.contains(Peek())) return NeedsSamples();
    return Syntax(format("unexpected '{}'", Peek()));
  }
  Evaluated TooDeep() const { return Syntax(format("nested more than {} deep", kMaxDepth)); }
  std::unexpected<ScalarError> Syntax(std::string_view what) const {
    return std::unexpected(ScalarError(ScalarError::Kind::kSyntax,
                                       format("1:{}: parse error: {}", std::min(at_, text_.size()) + 1, what)));
  }
  static std::unexpected<ScalarError> NeedsSamples() {
    return std::unexpected(ScalarError(
        ScalarError::Kind::kNeedsSamples,
        "this is a catalogue of series identities without samples: of PromQL it evaluates numbers, + - * / % ^, "
        "time(), "
        "pi(), vector() and scalar(); ask /api/v1/series, /api/v1/labels and /api/v1/label/<name>/values what exists"));
  }

  struct Deeper {
    explicit Deeper(Evaluator& evaluator) : depth(++evaluator.depth_) {}
    ~Deeper() { --depth; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;
    int& depth;
  };

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

std::expected<Value, ScalarError> Evaluate(std::string_view expression, int64_t time_ms) {
  return Evaluator(expression, time_ms).Run();
}

}  // namespace mi::query
