#include "model/identity.h"

#include <algorithm>
#include <deque>
#include <vector>

#include "base/format.h"

namespace mi::model {
namespace {

bool IsWordStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsWordPart(char c) { return IsWordStart(c) || (c >= '0' && c <= '9'); }

bool IsClassicName(std::string_view name, bool colon) {
  auto starts = [colon](char c) { return IsWordStart(c) || (colon && c == ':'); };
  auto goes_on = [colon](char c) { return IsWordPart(c) || (colon && c == ':'); };
  return !name.empty() && starts(name.front()) && std::ranges::all_of(name.substr(1), goes_on);
}

void AppendQuoted(std::string_view text, std::string& out) {
  out.push_back('"');
  for (const char c : text) {
    switch (c) {
      case '\\': out += "\\\\"; break;
      case '"': out += "\\\""; break;
      case '\n': out += "\\n"; break;
      default: out.push_back(c);
    }
  }
  out.push_back('"');
}

// A recursive-descent parser over one line; every step either advances or says where it stopped.
class IdentityParser {
 public:
  explicit IdentityParser(std::string_view text) : text_(text) {}

  Result<Labels> Parse() {
    SkipBlanks();
    std::string_view name = TakeWord(/*colon=*/true);
    if (!name.empty()) labels_.push_back({kMetricName, name});
    SkipBlanks();
    if (!AtEnd() || name.empty()) {
      if (!Take('{')) return Unexpected("'{'");
      if (Status body = ParseBody(); !body) return Fail(body.error());
    }
    SkipBlanks();
    if (!AtEnd()) return Unexpected("the end");
    return Labels::FromUnsorted(labels_);
  }

 private:
  Status ParseBody() {
    for (bool first = true;; first = false) {
      SkipBlanks();
      if (Take('}')) return {};
      if (!first) {
        if (!Take(',')) return Unexpected("',' or '}'");
        SkipBlanks();
        if (Take('}')) return {};
      }
      if (Status pair = ParsePair(); !pair) return pair;
    }
  }

  Status ParsePair() {
    const bool quoted = Peek() == '"';
    std::string_view name = quoted ? std::string_view() : TakeWord(/*colon=*/false);
    if (quoted) {
      Result<std::string_view> text = TakeQuoted();
      if (!text) return Fail(text.error());
      name = *text;
    } else if (name.empty()) {
      return Unexpected("a label name");
    }
    SkipBlanks();
    if (!Take('=')) {
      if (!quoted) return Unexpected("'='");
      labels_.push_back({kMetricName, name});
      return {};
    }
    SkipBlanks();
    Result<std::string_view> value = TakeQuoted();
    if (!value) return Fail(value.error());
    labels_.push_back({name, *value});
    return {};
  }

  std::string_view TakeWord(bool colon) {
    auto part = [&](char c) { return IsWordPart(c) || (colon && c == ':'); };
    if (AtEnd() || !part(Peek()) || (Peek() >= '0' && Peek() <= '9')) return {};
    const size_t from = at_;
    while (!AtEnd() && part(Peek())) ++at_;
    return text_.substr(from, at_ - from);
  }

  Result<std::string_view> TakeQuoted() {
    if (!Take('"')) return Unexpected("'\"'");
    std::string& out = unescaped_.emplace_back();
    while (!AtEnd()) {
      const char c = text_[at_++];
      if (c == '"') return std::string_view(out);
      if (c == '\n') {
        --at_;
        return Unexpected("no line break inside quotes");
      }
      if (c != '\\') {
        out.push_back(c);
        continue;
      }
      if (AtEnd()) break;
      switch (text_[at_++]) {
        case '\\': out.push_back('\\'); break;
        case '"': out.push_back('"'); break;
        case 'n': out.push_back('\n'); break;
        default: --at_; return Unexpected("\\\\, \\\" or \\n");
      }
    }
    return Unexpected("a closing '\"'");
  }

  std::unexpected<Error> Unexpected(std::string_view wanted) const {
    return Fail(Errc::kInvalid, format("not a series identity: expected {} at byte {}", wanted, at_));
  }
  bool AtEnd() const { return at_ == text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }
  bool Take(char c) {
    if (AtEnd() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void SkipBlanks() {
    while (Peek() == ' ' || Peek() == '\t') ++at_;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<Label> labels_;
  std::deque<std::string> unescaped_;  // what labels_ points into; a deque, so that nothing moves
};

}  // namespace

bool IsClassicMetricName(std::string_view name) { return IsClassicName(name, /*colon=*/true); }
bool IsClassicLabelName(std::string_view name) { return IsClassicName(name, /*colon=*/false); }

void AppendIdentity(LabelsView labels, std::string& out) {
  const std::string_view metric = labels.metric_name();
  const bool bare = IsClassicMetricName(metric);
  if (bare) out.append(metric);
  out.push_back('{');
  std::string_view separator;
  if (!bare && !metric.empty()) {
    AppendQuoted(metric, out);
    separator = ",";
  }
  for (const Label& label : labels) {
    if (label.name == kMetricName) continue;
    out.append(separator);
    separator = ",";
    if (IsClassicLabelName(label.name)) {
      out.append(label.name);
    } else {
      AppendQuoted(label.name, out);
    }
    out.push_back('=');
    AppendQuoted(label.value, out);
  }
  out.push_back('}');
}

std::string FormatIdentity(LabelsView labels) {
  std::string out;
  AppendIdentity(labels, out);
  return out;
}

Result<Labels> ParseIdentity(std::string_view text) { return IdentityParser(text).Parse(); }

}  // namespace mi::model
