#include "query/selector_lexer.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "base/format.h"
#include "query/utf8.h"

namespace mi::query {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsNamePart(char c) { return IsNameStart(c) || IsDigit(c); }

// The words of PromQL that are no metric names when they stand outside braces; all others (sum, offset, by, …) may be.
std::string DescribeReserved(std::string_view word) {
  std::string lower(word);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  static constexpr std::array<std::string_view, 5> kKeywords = {"on", "ignoring", "group_left", "group_right", "bool"};
  if (std::ranges::find(kKeywords, lower) != kKeywords.end()) return format("<{}>", word);
  if (lower == "atan2") return format("<op:{}>", word);
  if (lower == "inf" || lower == "nan") return format("number {}", Quote(word));
  return {};
}

unsigned HexValue(char c) {
  if (IsDigit(c)) return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  return 16;  // above every digit
}

// "U+005C '\'", as Go names a character.
std::string NameCharacter(std::string_view text) {
  const size_t size = text.empty() ? 0 : CharacterSize(text);
  if (size == 0) return "U+FFFD '\xef\xbf\xbd'";
  uint32_t code_point = static_cast<unsigned char>(text.front());
  if (size > 1) {
    code_point &= 0x7fU >> size;
    for (size_t i = 1; i < size; ++i) code_point = code_point << 6U | (static_cast<unsigned char>(text[i]) & 0x3fU);
  }
  const bool printable = code_point >= ' ' && code_point != 0x7f;
  return printable ? format("U+{:04X} '{}'", code_point, text.substr(0, size)) : format("U+{:04X}", code_point);
}

}  // namespace

Lexeme SelectorLexer::Next() {
  SkipBlanks();
  return in_braces_ ? Inside() : Outside();
}

void SelectorLexer::SkipBlanks() {
  for (;;) {
    while (IsBlank(Peek())) ++at_;
    if (Peek() != '#') return;
    while (!AtEnd() && Peek() != '\n' && Peek() != '\r') ++at_;
  }
}

Lexeme SelectorLexer::Outside() {
  if (AtEnd()) return Make(Token::kEnd, at_, "end of input");
  const size_t from = at_;
  const char c = Peek();
  if (IsNameStart(c) || c == ':') return Word(/*colon=*/true);
  if (IsDigit(c) || (c == '.' && IsDigit(Peek(1)))) return Number();
  if (c == '"' || c == '\'' || c == '`') return String(c);
  if (c == '{') {
    ++at_;
    in_braces_ = true;
    return Make(Token::kLeftBrace, from, R"("{")");
  }
  // What follows is never part of a selector; it is only told apart for the message.
  if (c == '=' && Peek(1) == '~') return Fault(from, "unexpected character after '=': '~'");
  if (c == '!' && Peek(1) != '=') {
    return Fault(from, format("unexpected character after '!': {}", QuoteCharacter(text_.substr(at_ + 1))));
  }
  static constexpr std::string_view kOperators = "+-*/%^<>!@";
  static constexpr std::string_view kPunctuation = "()[],=";
  const bool two = (Peek(1) == '=' && std::string_view("=!<>").contains(c)) ||
                   (Peek(1) == '/' && std::string_view("<>").contains(c));
  if (kOperators.contains(c) || two) {
    at_ += two ? 2 : 1;
    return Make(Token::kUnwanted, from, format("<op:{}>", text_.substr(from, at_ - from)));
  }
  if (c == ')') return Fault(from + 1, "unexpected right parenthesis ')'");
  if (c == ']') return Fault(from, "unexpected right bracket ']'");
  if (kPunctuation.contains(c) && c != '\0') {
    ++at_;
    return Make(Token::kUnwanted, from, format("\"{}\"", c));
  }
  return Fault(from, "unexpected character: " + QuoteCharacter(text_.substr(at_)));
}

Lexeme SelectorLexer::Inside() {
  if (AtEnd()) return Fault(at_, "unexpected end of input inside braces");
  const size_t from = at_;
  const char c = Peek();
  if (IsNameStart(c)) return Word(/*colon=*/false);
  if (c == '"' || c == '\'' || c == '`') return String(c);
  if (c == '{') return Fault(from, "unexpected left brace '{'");
  if (c == '}') {
    ++at_;
    in_braces_ = false;
    return Make(Token::kRightBrace, from, R"("}")");
  }
  if (c == ',') {
    ++at_;
    return Make(Token::kComma, from, R"(",")");
  }
  if (c == '=' || c == '!') return Operator(c, Peek(1));
  return Fault(from, "unexpected character inside braces: " + QuoteCharacter(text_.substr(at_)));
}

Lexeme SelectorLexer::Operator(char first, char second) {
  const size_t from = at_;
  if (first == '=' && second != '~') {
    ++at_;
    return Make(Token::kEqual, from, R"("=")");
  }
  if (first == '!' && second != '~' && second != '=') {
    return Fault(from,
                 format("unexpected character after '!' inside braces: {}", QuoteCharacter(text_.substr(from + 1))));
  }
  at_ += 2;
  const Token token = first == '=' ? Token::kRegex : second == '=' ? Token::kNotEqual : Token::kNotRegex;
  return Make(token, from, format("<op:{}>", text_.substr(from, 2)));
}

Lexeme SelectorLexer::Word(bool colon) {
  const size_t from = at_;
  while (IsNamePart(Peek()) || (colon && Peek() == ':')) ++at_;
  const std::string_view word = text_.substr(from, at_ - from);
  if (colon) {
    if (std::string reserved = DescribeReserved(word); !reserved.empty()) {
      return Make(Token::kUnwanted, from, std::move(reserved));
    }
  }
  return Make(Token::kName, from, format("{}identifier \"{}\"", word.contains(':') ? "metric " : "", word));
}

Lexeme SelectorLexer::Number() {
  const size_t from = at_;
  while (IsNamePart(Peek()) || Peek() == '.') ++at_;
  const std::string_view word = text_.substr(from, at_ - from);
  if (!std::ranges::all_of(word, [](char c) { return IsDigit(c) || c == '.'; })) {
    return Fault(from, format("bad number or duration syntax: {}", Quote(word)));
  }
  return Make(Token::kUnwanted, from, format("number {}", Quote(word)));
}

Lexeme SelectorLexer::String(char quote) {
  const size_t from = at_++;
  unquoted_.clear();
  for (;;) {
    if (AtEnd() || (Peek() == '\n' && quote != '`')) {
      return Fault(from, quote == '`' ? "unterminated raw string" : "unterminated quoted string");
    }
    if (Peek() == quote) break;
    if (Peek() == '\\' && quote != '`') {
      ++at_;
      if (!AppendEscape(quote)) return Fault(from, std::move(error_));
      continue;
    }
    const size_t size = CharacterSize(text_.substr(at_));
    if (size == 0) return Fault(from, "invalid UTF-8 rune");
    unquoted_ += text_.substr(at_, size);
    at_ += size;
  }
  ++at_;
  const std::string_view whole = text_.substr(from, at_ - from);
  return Make(
      Token::kString, from,
      format("string {}{}", Quote(whole, whole.size() > 10 ? 10 : whole.size()), whole.size() > 10 ? "..." : ""));
}

// Behind a backslash. Octal and \x give a byte, \u and \U a character.
bool SelectorLexer::AppendEscape(char quote) {
  static constexpr std::string_view kShort = "abfnrtv\\";
  static constexpr std::string_view kMeant = "\a\b\f\n\r\t\v\\";
  const char c = Peek();
  if (AtEnd()) {
    error_ = "escape sequence not terminated";
    return false;
  }
  if (const size_t index = kShort.find(c); index != std::string_view::npos || c == quote) {
    unquoted_.push_back(c == quote ? quote : kMeant[index]);
    ++at_;
    return true;
  }
  if (c >= '0' && c <= '7') return AppendCodePoint(3, 8, 255, /*byte=*/true);
  if (c == 'x' || c == 'u' || c == 'U') {
    ++at_;
    if (c == 'x') return AppendCodePoint(2, 16, 255, /*byte=*/true);
    return AppendCodePoint(c == 'u' ? 4 : 8, 16, kMaxCodePoint, /*byte=*/false);
  }
  error_ = "unknown escape sequence " + NameCharacter(text_.substr(at_));
  return false;
}

bool SelectorLexer::AppendCodePoint(unsigned digits, unsigned base, uint32_t max, bool byte) {
  uint32_t code_point = 0;
  for (; digits > 0; --digits, ++at_) {
    const unsigned digit = HexValue(Peek());
    if (digit >= base) {
      error_ = AtEnd() ? "escape sequence not terminated"
                       : format("illegal character {} in escape sequence", NameCharacter(text_.substr(at_)));
      return false;
    }
    code_point = code_point * base + digit;
  }
  if (code_point > max || IsSurrogate(code_point)) {
    error_ = "escape sequence is an invalid Unicode code point";
    return false;
  }
  if (byte) {
    unquoted_.push_back(static_cast<char>(code_point));
  } else {
    AppendCharacter(code_point, unquoted_);
  }
  return true;
}

Lexeme SelectorLexer::Make(Token token, size_t from, std::string described) const {
  return {.token = token, .at = from, .text = text_.substr(from, at_ - from), .described = std::move(described)};
}

Lexeme SelectorLexer::Fault(size_t from, std::string message) {
  error_ = std::move(message);
  return {.token = Token::kError, .at = from};
}

}  // namespace mi::query
