#include "query/selector.h"

namespace mi::query {

std::string_view ToString(MatchOperator op) {
  switch (op) {
    case MatchOperator::kEqual: return "=";
    case MatchOperator::kNotEqual: return "!=";
    case MatchOperator::kRegex: return "=~";
    case MatchOperator::kNotRegex: return "!~";
  }
  return "?";
}

Result<Matcher> Matcher::Create(std::string name, MatchOperator op, std::string value) {
  std::optional<Regex> regex;
  if (op == MatchOperator::kRegex || op == MatchOperator::kNotRegex) {
    Result<Regex> compiled = Regex::Compile(value);
    if (!compiled) return Fail(compiled.error());
    regex = *std::move(compiled);
  }
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

}  // namespace mi::query
