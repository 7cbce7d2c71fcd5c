#include "query/regex.h"

#include <re2/re2.h>

#include <algorithm>
#include <cassert>
#include <optional>
#include <utility>

#include "base/format.h"
#include "base/utf8.h"

namespace mi::query {
namespace {

constexpr std::string_view kMeta = R"(\.+*?()|[]{}^$)";

bool IsAsciiPunctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

// Takes the literal text at the front of `pattern`, up to the first operator. An escaped "\." is literal text too.
std::string TakeLiteral(std::string_view& pattern) {
  std::string literal;
  while (!pattern.empty()) {
    size_t taken = 1;
    if (pattern.front() == '\\') {
      if (pattern.size() < 2 || !IsAsciiPunctuation(pattern[1])) break;
      literal.push_back(pattern[1]);
      taken = 2;
    } else if (kMeta.contains(pattern.front())) {
      break;
    } else {
      literal.push_back(pattern.front());
    }
    pattern.remove_prefix(taken);
  }
  return literal;
}

// "a|b|c", also in one pair of parentheses: dashboards write a choice of several values so.
std::optional<Regex::Literals> AsLiterals(std::string_view pattern) {
  const bool wrapped = pattern.starts_with('(') && pattern.ends_with(')') && !pattern.ends_with("\\)");
  if (wrapped) pattern = pattern.substr(1, pattern.size() - 2);
  Regex::Literals literals;
  literals.values.push_back(TakeLiteral(pattern));
  while (pattern.starts_with('|')) {
    pattern.remove_prefix(1);
    literals.values.push_back(TakeLiteral(pattern));
  }
  if (!pattern.empty()) return std::nullopt;
  std::ranges::sort(literals.values);
  const auto repeated = std::ranges::unique(literals.values);
  literals.values.erase(repeated.begin(), repeated.end());
  return literals;
}

// "abc.*", "abc.+", ".*", ".+"
std::optional<Regex::Prefix> AsPrefix(std::string_view pattern) {
  Regex::Prefix prefix{.text = TakeLiteral(pattern)};
  if (pattern != ".*" && pattern != ".+") return std::nullopt;
  prefix.more = pattern == ".+";
  return prefix;
}

}  // namespace

// Most patterns of dashboards are lists of words or prefixes. Two forms recognise them, and need neither a program nor,
// for lists, a look at every value. They give the same answers as RE2: a match is anchored at both ends, so a pattern
// of literal text is an equality; and TakeLiteral() stops at every character that may be an operator, so a pattern that
// is not wholly understood is left to RE2. A program takes memory up to kMaxMemory; matching is linear in the text.
Result<Regex> Regex::Compile(std::string_view pattern, ShortCuts short_cuts) {
  // RE2 refuses invalid UTF-8.
  if (short_cuts == ShortCuts::kTaken && IsValidUtf8(pattern)) {
    if (std::optional<Literals> literals = AsLiterals(pattern)) return Regex(*std::move(literals));
    if (std::optional<Prefix> prefix = AsPrefix(pattern)) return Regex(*std::move(prefix));
  }
  RE2::Options options;
  options.set_dot_nl(true);
  options.set_never_capture(true);
  options.set_log_errors(false);
  options.set_max_mem(kMaxMemory);
  auto program = std::make_shared<RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
  if (!program->ok()) return Fail(Errc::kInvalid, program->error());
  if (const auto size = static_cast<size_t>(program->ProgramSize()); size > kMaxInstructions) {
    return Fail(Errc::kInvalid, format("the expression needs {} instructions, limit {}", size, kMaxInstructions));
  }
  return Regex(Program(std::move(program)));
}

bool Regex::ScansValues(std::string_view pattern) {
  if (!IsValidUtf8(pattern)) return true;
  if (const std::optional<Literals> literals = AsLiterals(pattern)) {
    return literals->values.size() > 1 && literals->values.front().empty();
  }
  const std::optional<Prefix> prefix = AsPrefix(pattern);
  return !prefix || !prefix->text.empty();
}

bool Regex::Matches(std::string_view text) const {
  assert(IsValidUtf8(text));
  if (const auto* literals = std::get_if<Literals>(&form_)) {
    return std::ranges::binary_search(literals->values, text, std::less<>());
  }
  if (const auto* prefix = std::get_if<Prefix>(&form_)) {
    return text.starts_with(prefix->text) && text.size() >= prefix->text.size() + (prefix->more ? 1 : 0);
  }
  const re2::StringPiece piece(text.data(), text.size());
  return std::get<Program>(form_)->Match(piece, 0, piece.size(), RE2::ANCHOR_BOTH, nullptr, 0);
}

const std::vector<std::string>* Regex::literals() const {
  const auto* literals = std::get_if<Literals>(&form_);
  return literals == nullptr ? nullptr : &literals->values;
}

size_t Regex::instructions() const {
  const auto* program = std::get_if<Program>(&form_);
  return program == nullptr ? 0 : static_cast<size_t>((*program)->ProgramSize());
}

bool Regex::MatchesAllValues() const {
  const auto* prefix = std::get_if<Prefix>(&form_);
  return prefix != nullptr && prefix->text.empty();
}

}  // namespace mi::query
