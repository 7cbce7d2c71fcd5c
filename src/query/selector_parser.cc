#include <optional>
#include <utility>

#include "base/format.h"
#include "model/labels.h"
#include "query/selector.h"
#include "query/selector_lexer.h"

namespace mi::query {
namespace {

using Done = std::expected<void, SelectorError>;

// "line:column" of a byte, both from 1; columns count bytes.
std::string Place(std::string_view text, size_t offset) {
  if (text.empty()) return "unknown position";
  size_t line = 1;
  size_t line_start = 0;
  for (size_t i = 0; i < offset; ++i) {
    if (text[i] != '\n') continue;
    ++line;
    line_start = i + 1;
  }
  return format("{}:{}", line, offset - line_start + 1);
}

// Recursive descent with one lexeme of foresight, which is read as late as possible: of two faults the first is told.
class Parser {
 public:
  Parser(std::string_view text, WalkBudget& walks) : text_(text), lexer_(text), walks_(walks) {}

  std::expected<Selector, SelectorError> Parse() {
    Advance();
    const bool named = next_.token == Token::kName;
    const std::string name(named ? next_.text : std::string_view());
    if (named) Advance();
    if (next_.token == Token::kLeftBrace) {
      if (Done matchers = ParseMatchers(); !matchers) return std::unexpected(std::move(matchers).error());
    } else if (!named) {
      return Unexpected("", "");
    }
    if (next_.token != Token::kEnd) return Unexpected("", "");
    // Behind the others, where Prometheus puts it.
    if (named)
      selector_.matchers.push_back(*Matcher::Create(std::string(model::kMetricName), MatchOperator::kEqual, name));
    return std::move(selector_);
  }

 private:
  Done ParseMatchers() {
    Advance();
    if (next_.token == Token::kRightBrace) return Advance(), Done();
    for (;;) {
      if (selector_.matchers.size() == kMaxMatchers) return TooMany();
      if (Done matcher = ParseMatcher(); !matcher) return matcher;
      if (next_.token == Token::kComma) {
        Advance();
        if (next_.token != Token::kRightBrace) continue;
      }
      if (next_.token != Token::kRightBrace) return Unexpected("label matching", R"("," or "}")");
      return Advance(), Done();
    }
  }

  Done ParseMatcher() {
    const Token first = next_.token;
    const size_t from = next_.at;
    std::string name;
    if (first == Token::kName) {
      name = next_.text;
    } else if (first == Token::kString) {
      name = lexer_.TakeUnquoted();
    } else {
      return Unexpected("label matching", R"(identifier or "}")");
    }
    Advance();
    const std::optional<MatchOperator> op = Operator(next_.token);
    if (!op) {
      if (first == Token::kName) return Unexpected("label matching", "label matching operator");
      // A string alone is the metric's name.
      return Add(from, std::string(model::kMetricName), MatchOperator::kEqual, std::move(name));
    }
    Advance();
    if (next_.token != Token::kString) return Unexpected("label matching", "string");
    if (Done added = Add(from, std::move(name), *op, lexer_.TakeUnquoted()); !added) return added;
    return Advance(), Done();
  }

  static std::optional<MatchOperator> Operator(Token token) {
    switch (token) {
      case Token::kEqual: return MatchOperator::kEqual;
      case Token::kNotEqual: return MatchOperator::kNotEqual;
      case Token::kRegex: return MatchOperator::kRegex;
      case Token::kNotRegex: return MatchOperator::kNotRegex;
      default: return std::nullopt;
    }
  }

  Done Add(size_t from, std::string name, MatchOperator op, std::string value) {
    const bool regex = op == MatchOperator::kRegex || op == MatchOperator::kNotRegex;
    if (regex && Regex::NeedsWalk(value) && walks_.taken++ == walks_.limit) return TooManyWalks(from);
    Result<Matcher> matcher = Matcher::Create(std::move(name), op, std::move(value));
    if (!matcher) return Syntax(from, "error parsing regexp: " + matcher.error().message());
    selector_.matchers.push_back(*std::move(matcher));
    return {};
  }

  void Advance() { next_ = lexer_.Next(); }

  std::unexpected<SelectorError> Unexpected(std::string_view where, std::string_view wanted) const {
    if (next_.token == Token::kError) return Syntax(next_.at, lexer_.error());
    std::string message = "unexpected " + next_.described;
    if (!where.empty()) message += format(" in {}", where);
    if (!wanted.empty()) message += format(", expected {}", wanted);
    return Syntax(next_.at, message);
  }
  std::unexpected<SelectorError> Syntax(size_t at, std::string_view message) const {
    return std::unexpected(
        SelectorError(SelectorError::Kind::kSyntax, at, format("{}: parse error: {}", Place(text_, at), message)));
  }
  std::unexpected<SelectorError> TooMany() const {
    return std::unexpected(SelectorError(SelectorError::Kind::kTooExpensive, next_.at,
                                         format("a selector has more than {} matchers", kMaxMatchers)));
  }

  std::unexpected<SelectorError> TooManyWalks(size_t at) const {
    return std::unexpected(SelectorError(SelectorError::Kind::kTooExpensive, at,
                                         format("more than {} regular expressions are given", walks_.limit)));
  }

  std::string_view text_;
  SelectorLexer lexer_;
  WalkBudget& walks_;
  Lexeme next_;
  Selector selector_;
};

}  // namespace

std::expected<Selector, SelectorError> ParseSelector(std::string_view text) {
  WalkBudget walks{.limit = kMaxMatchers};
  return ParseSelector(text, walks);
}

std::expected<Selector, SelectorError> ParseSelector(std::string_view text, WalkBudget& walks) {
  std::expected<Selector, SelectorError> selector = Parser(text, walks).Parse();
  if (!selector) return selector;
  for (const Matcher& matcher : selector->matchers) {
    if (!matcher.matches_empty()) return selector;
  }
  return std::unexpected(
      SelectorError(SelectorError::Kind::kEverything, 0, "match[] must contain at least one non-empty matcher"));
}

}  // namespace mi::query
