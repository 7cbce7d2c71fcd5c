#include "model/testing/plain_identity.h"

#include <string>
#include <utility>
#include <vector>

#include "model/identity.h"

namespace mi::model {
namespace {

struct NoIdentity {};

class PlainParser {
 public:
  explicit PlainParser(std::string_view text) : text_(text) {}

  std::vector<std::pair<std::string, std::string>> Parse() {
    SkipBlanks();
    const std::string metric = Word(/*colon=*/true);
    if (!metric.empty()) labels_.emplace_back(kMetricName, metric);
    SkipBlanks();
    if (at_ < text_.size() || metric.empty()) ParseBraces();
    SkipBlanks();
    Require(at_ == text_.size());
    return labels_;
  }

 private:
  void ParseBraces() {
    Require(Take('{'));
    SkipBlanks();
    while (!Take('}')) {
      ParsePair();
      SkipBlanks();
      if (Take('}')) return;
      Require(Take(','));
      SkipBlanks();
    }
  }

  void ParsePair() {
    const bool quoted = Peek() == '"';
    const std::string name = quoted ? Text() : Word(/*colon=*/false);
    Require(quoted || !name.empty());
    SkipBlanks();
    if (!Take('=')) {
      Require(quoted);
      labels_.emplace_back(kMetricName, name);
      return;
    }
    SkipBlanks();
    labels_.emplace_back(name, Text());
  }

  std::string Word(bool colon) {
    const std::string_view starts = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    std::string word;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      const bool digit = !word.empty() && c >= '0' && c <= '9';
      if (!starts.contains(c) && !digit && !(colon && c == ':')) break;
      word.push_back(c);
    }
    return word;
  }

  std::string Text() {
    Require(Take('"'));
    std::string text;
    for (;;) {
      Require(at_ < text_.size());
      char c = text_[at_++];
      if (c == '"') return text;
      Require(c != '\n');
      if (c == '\\') {
        Require(at_ < text_.size());
        c = text_[at_++];
        Require(c == '\\' || c == '"' || c == 'n');
        if (c == 'n') c = '\n';
      }
      text.push_back(c);
    }
  }

  static void Require(bool holds) {
    if (!holds) throw NoIdentity();
  }
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool Take(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void SkipBlanks() {
    while (Peek() == ' ' || Peek() == '\t') ++at_;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<std::pair<std::string, std::string>> labels_;
};

}  // namespace

std::optional<Labels> ParsePlainIdentity(std::string_view text) {
  try {
    const auto owned = PlainParser(text).Parse();
    std::vector<Label> labels;
    for (const auto& [name, value] : owned) labels.push_back({name, value});
    Result<Labels> made = Labels::FromUnsorted(labels);
    if (made) return *std::move(made);
  } catch (const NoIdentity&) {
  }
  return std::nullopt;
}

bool ReadersAgree(std::string_view text) {
  const std::optional<Labels> plain = ParsePlainIdentity(text);
  IdentityReader reader;
  const auto read = reader.Read(text);
  const Result<Labels> parsed = ParseIdentity(text);
  if (!plain) return !read && !parsed;
  return read && parsed && *parsed == *plain && Labels::FromUnsorted(*read).value() == *plain &&
         read->size() == plain->view().CountLabels();
}

}  // namespace mi::model
