// Selectors: a selector that parses can be formatted and parsed again. The short cut for simple regular expressions
// must decide as RE2 does. Evaluating any scalar expression of /api/v1/query must end.
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/format.h"
#include "model/labels.h"
#include "query/scalar.h"
#include "query/selector.h"

namespace {

using mi::query::Matcher;
using mi::query::Regex;
using mi::query::Selector;

void Check(bool holds) {
  if (!holds) std::abort();
}

// Writes every byte as an escape, so that its value does not matter.
std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) quoted += mi::format("\\x{:02x}", static_cast<unsigned char>(c));
  return quoted + '"';
}

void ReadBack(const Selector& selector) {
  std::string text = "{";
  for (const Matcher& matcher : selector.matchers) {
    text += mi::format("{}{}{},", Quote(matcher.name()), mi::query::ToString(matcher.op()), Quote(matcher.value()));
  }
  Check(mi::query::ParseSelector(mi::query::FormatSelector(selector)).has_value() ||
        selector.matchers.size() > mi::query::kMaxMatchers);
  const auto again = mi::query::ParseSelector(text + "}");
  // A name in front may add one matcher more than the braces allow.
  if (selector.matchers.size() > mi::query::kMaxMatchers) return;
  Check(again.has_value() && again->matchers.size() == selector.matchers.size());
  for (size_t i = 0; i < selector.matchers.size(); ++i) {
    Check(again->matchers[i].name() == selector.matchers[i].name());
    Check(again->matchers[i].op() == selector.matchers[i].op());
    Check(again->matchers[i].value() == selector.matchers[i].value());
  }
}

void CompareWithRe2(std::string_view pattern, std::string_view text) {
  const auto fast = Regex::Compile(pattern);
  const auto plain = Regex::Compile(pattern, Regex::ShortCuts::kNotTaken);
  // A list of literals may exceed the size that RE2 allows for its program.
  if (fast && !plain) return Check(fast->literals() != nullptr && pattern.size() > 1000);
  Check(fast.has_value() == plain.has_value());
  if (!fast) return;
  for (const std::string_view value : {text, pattern, std::string_view(), text.substr(0, 1), text.substr(0, 4)}) {
    if (mi::model::IsValidUtf8(value)) Check(fast->Matches(value) == plain->Matches(value));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto selector = mi::query::ParseSelector(text);
  if (selector) {
    ReadBack(*selector);
    for (const Matcher& matcher : selector->matchers) {
      Check(matcher.matches_empty() == matcher.Matches(""));
      if (matcher.regex()) CompareWithRe2(matcher.value(), text);
    }
  } else {
    Check(selector.error().offset <= text.size());
    Check(!selector.error().message.empty());
  }
  if (text.size() < 64) CompareWithRe2(text, text);
  if (!mi::query::Evaluate(text, 0)) Check(!mi::query::Evaluate(text, 0).error().message.empty());
  return 0;
}
