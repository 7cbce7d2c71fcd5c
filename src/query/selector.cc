#include "query/selector.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

#include "base/ascii.h"
#include "base/format.h"
#include "base/quote.h"
#include "base/utf8.h"
#include "model/labels.h"

namespace mi::query {
namespace {

enum class TokenKind {
  kEnd,
  kError,   // Token::described has the message
  kName,    // a label or metric name, without quotes
  kString,  // quoted; Token::value has the value
  kLeftBrace,
  kRightBrace,
  kComma,
  kEqual,
  kNotEqual,
  kRegex,
  kNotRegex,
  kForeign,  // a token of PromQL that no selector contains
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  size_t offset = 0;
  std::string_view text;
  std::string described;  // for a message: identifier "up"
  std::string value;
};

bool IsNameStart(char c) { return IsAlpha(c) || c == '_'; }
bool IsNamePart(char c) { return IsAlnum(c) || c == '_'; }

// The words of PromQL that are not metric names outside braces; all others (sum, offset, by, …) may be. '' if it is
// none.
std::string DescribeReserved(std::string_view word) {
  const std::string lower = ToLower(word);
  static constexpr std::array<std::string_view, 5> kKeywords = {"on", "ignoring", "group_left", "group_right", "bool"};
  if (std::ranges::find(kKeywords, lower) != kKeywords.end()) return format("<{}>", word);
  if (lower == "atan2") return format("<op:{}>", word);
  if (lower == "inf" || lower == "nan") return "number " + GoQuoted(word);
  return {};
}

// U+005C '\': as Go's %#U formats the first character; U+FFFD if there is none or an invalid byte.
std::string NamedCharacter(std::string_view text) {
  if (text.empty() || !FirstUtf8(text).valid) text = kReplacementCharacter;
  const Utf8Character first = FirstUtf8(text);
  const auto code = static_cast<uint32_t>(first.code);
  const bool printable = code >= ' ' && code != 0x7f;
  return printable ? format("U+{:04X} '{}'", code, text.substr(0, first.size)) : format("U+{:04X}", code);
}

// Cuts a text into tokens, one at a time. Blanks and comments (# to the end of the line) lie between them. Braces
// change which characters are legal, as in Prometheus' lexer: its messages differ inside and outside of them.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Token Next() {
    SkipBlanks();
    return in_braces_ ? Inside() : Outside();
  }

 private:
  Token Outside() {
    if (AtEnd()) return Take(TokenKind::kEnd, 0, "end of input");
    const char c = Peek();
    const char next = Peek(1);
    if (IsNameStart(c) || c == ':') return MetricName();
    if (IsDigit(c) || (c == '.' && IsDigit(next))) return Number();
    if (c == '"' || c == '\'' || c == '`') return String(c);
    if (c == '{') {
      in_braces_ = true;
      return Take(TokenKind::kLeftBrace, 1, R"("{")");
    }
    // The rest is never part of a selector. It is told apart only for the message.
    if (c == '=' && next == '~') return Fault("unexpected character after '=': '~'");
    if (c == '!' && next != '=') return Fault("unexpected character after '!': " + GoQuotedCharacter(Rest(1)));
    const bool two = (next == '=' && std::string_view("=!<>").contains(c)) || (next == '/' && (c == '<' || c == '>'));
    if (two || std::string_view("+-*/%^<>!@").contains(c)) return Operator(TokenKind::kForeign, two ? 2 : 1);
    if (c == ')') return Fault("unexpected right parenthesis ')'", 1);
    if (c == ']') return Fault("unexpected right bracket ']'");
    if (std::string_view("([,=").contains(c)) return Take(TokenKind::kForeign, 1, format("\"{}\"", c));
    return Fault("unexpected character: " + GoQuotedCharacter(Rest()));
  }

  Token Inside() {
    if (AtEnd()) return Fault("unexpected end of input inside braces");
    const char c = Peek();
    const char next = Peek(1);
    if (IsNameStart(c)) return Name(CountWhile(IsNamePart));
    if (c == '"' || c == '\'' || c == '`') return String(c);
    if (c == '{') return Fault("unexpected left brace '{'");
    if (c == '}') {
      in_braces_ = false;
      return Take(TokenKind::kRightBrace, 1, R"("}")");
    }
    if (c == ',') return Take(TokenKind::kComma, 1, R"(",")");
    if (c == '=') return next == '~' ? Operator(TokenKind::kRegex, 2) : Take(TokenKind::kEqual, 1, R"("=")");
    if (c == '!' && next == '=') return Operator(TokenKind::kNotEqual, 2);
    if (c == '!' && next == '~') return Operator(TokenKind::kNotRegex, 2);
    if (c == '!') return Fault("unexpected character after '!' inside braces: " + GoQuotedCharacter(Rest(1)));
    return Fault("unexpected character inside braces: " + GoQuotedCharacter(Rest()));
  }

  Token Operator(TokenKind kind, size_t size) { return Take(kind, size, format("<op:{}>", text_.substr(at_, size))); }

  Token Name(size_t size) {
    const std::string_view name = text_.substr(at_, size);
    const std::string_view of_metric = name.contains(':') ? "metric " : "";
    return Take(TokenKind::kName, size, format("{}identifier \"{}\"", of_metric, name));
  }

  Token MetricName() {
    const size_t size = CountWhile([](char c) { return IsNamePart(c) || c == ':'; });
    std::string reserved = DescribeReserved(text_.substr(at_, size));
    return reserved.empty() ? Name(size) : Take(TokenKind::kForeign, size, std::move(reserved));
  }

  Token Number() {
    const size_t size = CountWhile([](char c) { return IsNamePart(c) || c == '.'; });
    const std::string_view word = text_.substr(at_, size);
    const bool plain = std::ranges::all_of(word, [](char c) { return IsDigit(c) || c == '.'; });
    if (!plain) return Fault("bad number or duration syntax: " + GoQuoted(word));
    return Take(TokenKind::kForeign, size, "number " + GoQuoted(word));
  }

  Token String(char quote) {
    const bool raw = quote == '`';
    const size_t from = at_++;
    std::string value;
    for (;;) {
      if (AtEnd() || (Peek() == '\n' && !raw)) {
        return FaultAt(from, raw ? "unterminated raw string" : "unterminated quoted string");
      }
      if (Peek() == quote) break;
      if (Peek() == '\\' && !raw) {
        ++at_;
        if (std::string fault = TakeEscape(quote, value); !fault.empty()) return FaultAt(from, std::move(fault));
        continue;
      }
      const Utf8Character character = FirstUtf8(Rest());
      if (!character.valid) return FaultAt(from, "invalid UTF-8 rune");
      value += text_.substr(at_, character.size);
      at_ += character.size;
    }
    ++at_;
    const std::string_view whole = text_.substr(from, at_ - from);
    return {.kind = TokenKind::kString,
            .offset = from,
            .text = whole,
            .described = format("string {}{}", GoQuoted(whole, 10), whole.size() > 10 ? "..." : ""),
            .value = std::move(value)};
  }

  // Takes what follows a backslash. Octal digits and \x give a byte, \u and \U a character. Returns what is wrong with
  // it, or ''.
  std::string TakeEscape(char quote, std::string& value) {
    static constexpr std::string_view kShort = "abfnrtv\\";
    static constexpr std::string_view kMeaning = "\a\b\f\n\r\t\v\\";
    if (AtEnd()) return "escape sequence not terminated";
    const char c = Peek();
    if (const size_t index = kShort.find(c); index != std::string_view::npos || c == quote) {
      value.push_back(c == quote ? quote : kMeaning[index]);
      ++at_;
      return {};
    }
    const bool octal = c >= '0' && c <= '7';
    if (octal) return TakeCode(3, 8, value);
    if (c != 'x' && c != 'u' && c != 'U') return "unknown escape sequence " + NamedCharacter(Rest());
    ++at_;
    return TakeCode(c == 'x' ? 2 : c == 'u' ? 4 : 8, 16, value);
  }

  // Exactly `digits` digits. Two or three digits stand for a byte, more for a character.
  std::string TakeCode(size_t digits, int base, std::string& value) {
    const std::string_view text = Rest().substr(0, digits);
    uint32_t code = 0;
    const size_t read = static_cast<size_t>(std::from_chars(text.begin(), text.end(), code, base).ptr - text.begin());
    at_ += read;
    if (read < digits) {
      if (AtEnd()) return "escape sequence not terminated";
      return format("illegal character {} in escape sequence", NamedCharacter(Rest()));
    }
    const bool is_byte = digits <= 3;
    if (code > (is_byte ? 0xff : kMaxCodePoint) || IsSurrogate(code)) {
      return "escape sequence is an invalid Unicode code point";
    }
    if (is_byte) {
      value.push_back(static_cast<char>(code));
    } else {
      AppendUtf8(code, value);
    }
    return {};
  }

  Token Take(TokenKind kind, size_t size, std::string described) {
    const size_t from = std::exchange(at_, at_ + size);
    return {.kind = kind, .offset = from, .text = text_.substr(from, size), .described = std::move(described)};
  }
  Token Fault(std::string message, size_t ahead = 0) const { return FaultAt(at_ + ahead, std::move(message)); }
  static Token FaultAt(size_t offset, std::string message) {
    return {.kind = TokenKind::kError, .offset = offset, .described = std::move(message)};
  }

  void SkipBlanks() {
    for (;;) {
      while (!AtEnd() && std::string_view(" \t\r\n").contains(Peek())) ++at_;
      if (Peek() != '#') return;
      while (!AtEnd() && Peek() != '\n' && Peek() != '\r') ++at_;
    }
  }
  size_t CountWhile(bool (*wanted)(char)) const {
    return static_cast<size_t>(std::ranges::find_if_not(Rest(), wanted) - Rest().begin());
  }
  bool AtEnd() const { return at_ == text_.size(); }
  char Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  std::string_view Rest(size_t ahead = 0) const { return text_.substr(at_ + ahead); }

  std::string_view text_;
  size_t at_ = 0;
  bool in_braces_ = false;
};

// "line:column" of a byte, both from 1; columns count bytes.
std::string Position(std::string_view text, size_t offset) {
  if (text.empty()) return "unknown position";
  const std::string_view before = text.substr(0, offset);
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return format("{}:{}", std::ranges::count(before, '\n') + 1, offset - line_start + 1);
}

// Recursive descent with one token of lookahead:
//
//   selector = name | [ name ] "{" [ matcher { "," matcher } [ "," ] ] "}"
//   matcher  = ( name | string ) operator string | string
//
// The next token is read as late as possible, so of two faults the first one is reported, as in Prometheus.
class Parser {
 public:
  Parser(std::string_view text, ScanBudget* budget) : text_(text), lexer_(text), budget_(budget) {}

  std::expected<Selector, ParseError> Parse() {
    Advance();
    const bool named = next_.kind == TokenKind::kName;
    const std::string name(named ? next_.text : std::string_view());
    if (named) Advance();
    if (next_.kind == TokenKind::kLeftBrace) {
      TRY(ParseMatchers());
    } else if (!named) {
      return Unexpected();
    }
    if (next_.kind != TokenKind::kEnd) return Unexpected();
    // Behind the others, where Prometheus puts it.
    if (named) TRY(Add(0, std::string(model::kMetricName), MatchOperator::kEqual, name));
    if (std::ranges::all_of(selector_.matchers, &Matcher::matches_empty)) {
      return Refuse(0, "match[] must contain at least one non-empty matcher");
    }
    return std::move(selector_);
  }

 private:
  using Done = std::expected<void, ParseError>;

  Done ParseMatchers() {
    Advance();
    while (next_.kind != TokenKind::kRightBrace) {
      if (selector_.matchers.size() == kMaxMatchers) {
        return Refuse(next_.offset, format("a selector has more than {} matchers", kMaxMatchers));
      }
      TRY(ParseMatcher());
      if (next_.kind == TokenKind::kComma) {
        Advance();
      } else if (next_.kind != TokenKind::kRightBrace) {
        return Unexpected(R"( in label matching, expected "," or "}")");
      }
    }
    Advance();
    return {};
  }

  Done ParseMatcher() {
    const Token first = next_;
    if (first.kind != TokenKind::kName && first.kind != TokenKind::kString) {
      return Unexpected(R"( in label matching, expected identifier or "}")");
    }
    Advance();
    const std::optional<MatchOperator> op = OperatorOf(next_.kind);
    if (!op && first.kind == TokenKind::kName) {
      return Unexpected(" in label matching, expected label matching operator");
    }
    // A string alone is the metric's name.
    if (!op) return Add(first.offset, std::string(model::kMetricName), MatchOperator::kEqual, first.value);
    Advance();
    if (next_.kind != TokenKind::kString) return Unexpected(" in label matching, expected string");
    std::string name = first.kind == TokenKind::kName ? std::string(first.text) : first.value;
    TRY(Add(first.offset, std::move(name), *op, std::move(next_.value)));
    Advance();
    return {};
  }

  static std::optional<MatchOperator> OperatorOf(TokenKind kind) {
    switch (kind) {
      case TokenKind::kEqual: return MatchOperator::kEqual;
      case TokenKind::kNotEqual: return MatchOperator::kNotEqual;
      case TokenKind::kRegex: return MatchOperator::kRegex;
      case TokenKind::kNotRegex: return MatchOperator::kNotRegex;
      default: return std::nullopt;
    }
  }

  Done Add(size_t offset, std::string name, MatchOperator op, std::string value) {
    const bool regex = op == MatchOperator::kRegex || op == MatchOperator::kNotRegex;
    if (budget_ != nullptr && regex && Regex::ScansValues(value) && budget_->used++ == budget_->limit) {
      return Refuse(offset, format("more than {} regular expressions are given", budget_->limit));
    }
    Result<Matcher> matcher = Matcher::Create(std::move(name), op, std::move(value));
    if (!matcher) return Syntax(offset, "error parsing regexp: " + matcher.error().message());
    if (budget_ != nullptr && regex) {
      budget_->instructions += matcher->regex()->instructions();
      if (budget_->instructions > budget_->max_instructions) {
        return Refuse(offset, format("the regular expressions need {} instructions together, limit {}",
                                     budget_->instructions, budget_->max_instructions));
      }
    }
    selector_.matchers.push_back(*std::move(matcher));
    return {};
  }

  void Advance() { next_ = lexer_.Next(); }

  std::unexpected<ParseError> Unexpected(std::string_view where = {}) const {
    if (next_.kind == TokenKind::kError) return Syntax(next_.offset, next_.described);
    return Syntax(next_.offset, format("unexpected {}{}", next_.described, where));
  }
  std::unexpected<ParseError> Syntax(size_t offset, std::string_view message) const {
    return Refuse(offset, format("{}: parse error: {}", Position(text_, offset), message));
  }
  static std::unexpected<ParseError> Refuse(size_t offset, std::string message) {
    return std::unexpected(ParseError{.offset = offset, .message = std::move(message)});
  }

  std::string_view text_;
  Lexer lexer_;
  ScanBudget* const budget_;
  Token next_;
  Selector selector_;
};

}  // namespace

Result<Matcher> Matcher::Create(std::string name, MatchOperator op, std::string value) {
  std::optional<Regex> regex;
  if (op == MatchOperator::kRegex || op == MatchOperator::kNotRegex) regex = TRY(Regex::Compile(value));
  return Matcher(std::move(name), op, std::move(value), std::move(regex));
}

Matcher::Matcher(std::string name, MatchOperator op, std::string value, std::optional<Regex> regex)
    : name_(std::move(name)),
      op_(op),
      value_(std::move(value)),
      regex_(std::move(regex)),
      matches_empty_(Matches("")) {}

bool Matcher::Matches(std::string_view value) const {
  switch (op_) {
    case MatchOperator::kEqual: return value == value_;
    case MatchOperator::kNotEqual: return value != value_;
    case MatchOperator::kRegex: return regex_->Matches(value);
    case MatchOperator::kNotRegex: return !regex_->Matches(value);
  }
  return false;
}

std::string_view ToString(MatchOperator op) {
  switch (op) {
    case MatchOperator::kEqual: return "=";
    case MatchOperator::kNotEqual: return "!=";
    case MatchOperator::kRegex: return "=~";
    case MatchOperator::kNotRegex: return "!~";
  }
  return "?";
}

// The metric's name comes first, before the braces if it is a plain word. Other names in quotes.
std::string FormatSelector(const Selector& selector) {
  const auto is_word = [](std::string_view text, std::string_view also) {
    const auto is_part = [&](char c) { return IsNamePart(c) || also.contains(c); };
    return !text.empty() && !IsDigit(text.front()) && std::ranges::all_of(text, is_part);
  };
  const auto name = std::ranges::find_if(selector.matchers, [](const Matcher& matcher) {
    return matcher.name() == model::kMetricName && matcher.op() == MatchOperator::kEqual && !matcher.value().empty();
  });
  std::string front;
  std::string inside;
  if (name != selector.matchers.end()) {
    const bool plain = is_word(name->value(), ":") && DescribeReserved(name->value()).empty();
    (plain ? front : inside) = plain ? name->value() : GoQuoted(name->value());
  }
  for (auto matcher = selector.matchers.begin(); matcher != selector.matchers.end(); ++matcher) {
    if (matcher == name) continue;
    if (!inside.empty()) inside += ',';
    inside += is_word(matcher->name(), "") ? matcher->name() : GoQuoted(matcher->name());
    inside += ToString(matcher->op());
    inside += GoQuoted(matcher->value());
  }
  return inside.empty() ? front : front + '{' + inside + '}';
}

std::expected<Selector, ParseError> ParseSelector(std::string_view text, ScanBudget* budget) {
  return Parser(text, budget).Parse();
}

}  // namespace mi::query
