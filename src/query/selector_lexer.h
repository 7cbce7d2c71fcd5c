// The words of a selector. Internal to the query room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace mi::query {

enum class Token {
  kEnd,
  kError,   // see SelectorLexer::error()
  kName,    // a label or metric name, without quotes
  kString,  // quoted; SelectorLexer::Unquoted() has its value
  kLeftBrace,
  kRightBrace,
  kComma,
  kEqual,
  kNotEqual,
  kRegex,
  kNotRegex,
  kUnwanted,  // a word of PromQL that no selector holds
};

struct Lexeme {
  Token token = Token::kEnd;
  size_t at = 0;          // in the text
  std::string_view text;  // of the text
  std::string described;  // for a message: identifier "up"
};

// Cuts a text into lexemes, one at a time; blanks and comments (# to the end of the line) lie between them. Inside
// braces other characters are legal than outside. Confined to one thread; the text must outlive it.
class SelectorLexer {
 public:
  explicit SelectorLexer(std::string_view text) : text_(text) {}

  Lexeme Next();
  // Why Next() gave kError.
  const std::string& error() const { return error_; }
  // The value of the last kString.
  std::string TakeUnquoted() { return std::move(unquoted_); }

 private:
  Lexeme Outside();
  Lexeme Inside();
  Lexeme Word(bool colon);
  Lexeme Operator(char first, char second);
  Lexeme Number();
  Lexeme String(char quote);
  bool AppendEscape(char quote);
  bool AppendCodePoint(unsigned digits, unsigned base, uint32_t max, bool byte);

  Lexeme Make(Token token, size_t from, std::string described = {}) const;
  Lexeme Fault(size_t from, std::string message);
  void SkipBlanks();
  bool AtEnd() const { return at_ == text_.size(); }
  char Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  std::string_view text_;
  size_t at_ = 0;
  bool in_braces_ = false;
  std::string error_;
  std::string unquoted_;
};

}  // namespace mi::query
