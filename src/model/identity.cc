#include "model/identity.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/ascii.h"
#include "base/format.h"

namespace mi::model {
namespace {

enum : unsigned char { kStartsLabel = 1, kInLabel = 2, kStartsMetric = 4, kInMetric = 8 };

// Classic names: [a-zA-Z_:][a-zA-Z0-9_:]* for metrics, the same without ':' for labels.
constexpr std::array<unsigned char, 256> kClasses = [] {
  std::array<unsigned char, 256> classes{};
  for (int i = 0; i < 256; ++i) {
    const char c = static_cast<char>(i);
    unsigned char& its_class = classes[static_cast<size_t>(i)];
    if (IsAlpha(c) || c == '_') its_class = kStartsLabel | kInLabel | kStartsMetric | kInMetric;
    if (IsDigit(c)) its_class = kInLabel | kInMetric;
    if (c == ':') its_class = kStartsMetric | kInMetric;
  }
  return classes;
}();

bool Is(char c, unsigned char wanted) { return (kClasses[static_cast<unsigned char>(c)] & wanted) != 0; }

bool IsWord(std::string_view name, unsigned char starts, unsigned char goes_on) {
  return !name.empty() && Is(name.front(), starts) && std::ranges::all_of(name, [=](char c) { return Is(c, goes_on); });
}

// The high bit of each byte of `word` that equals `c`. Such a byte is 0 in `differs`, and subtracting 1 from it
// borrows. The borrow may also set the bit of the byte above. So bits above the lowest one that is set may be wrong;
// the lowest is right, and FindSpecial uses no other.
uint64_t BytesEqual(uint64_t word, char c) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  const uint64_t differs = word ^ (kOnes * static_cast<unsigned char>(c));
  return (differs - kOnes) & ~differs & (kOnes << 7);
}

// The first '"', '\\' or '\n', or the end; eight bytes at a time.
const char* FindSpecial(const char* at, const char* end) {
  static_assert(std::endian::native == std::endian::little);
  for (; end - at >= 8; at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    const uint64_t found = BytesEqual(word, '"') | BytesEqual(word, '\\') | BytesEqual(word, '\n');
    if (found != 0) return at + std::countr_zero(found) / 8;
  }
  while (at != end && *at != '"' && *at != '\\' && *at != '\n') ++at;
  return at;
}

// Writes at `to` and returns the position after what it wrote. So do WriteQuoted() and the others.
char* Write(std::string_view text, char* to) {
  std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

// Writes at most 2 * text.size() + 2 bytes.
char* WriteQuoted(std::string_view text, char* to) {
  *to++ = '"';
  const char* at = text.data();
  const char* const end = at + text.size();
  for (;;) {
    const char* const special = FindSpecial(at, end);
    to = Write({at, special}, to);
    if (special == end) break;
    *to++ = '\\';
    *to++ = *special == '\n' ? 'n' : *special;
    at = special + 1;
  }
  *to++ = '"';
  return to;
}

// Writes at most 2 * metric_name.size() + 4 bytes.
char* WriteBegin(std::string_view metric_name, char* to) {
  const bool bare = IsWord(metric_name, kStartsMetric, kInMetric);
  if (bare) to = Write(metric_name, to);
  *to++ = '{';
  if (bare || metric_name.empty()) return to;
  to = WriteQuoted(metric_name, to);
  *to++ = ',';
  return to;
}

// Writes at most 2 * (name + value) + 6 bytes.
char* WriteLabel(const Label& label, char* to) {
  to = IsWord(label.name, kStartsLabel, kInLabel) ? Write(label.name, to) : WriteQuoted(label.name, to);
  *to++ = '=';
  to = WriteQuoted(label.value, to);
  *to++ = ',';
  return to;
}

// Each part ends with a comma, and the last comma becomes the brace.
char* WriteEnd(char* to) {
  if (to[-1] == ',') --to;
  *to++ = '}';
  return to;
}

// Appends at most `most` bytes, which `write(to)` writes.
template <typename WriteTo>
void Append(size_t most, std::string& out, WriteTo write) {
  const size_t before = out.size();
  out.resize_and_overwrite(before + most,
                           [&](char* text, size_t) { return static_cast<size_t>(write(text + before) - text); });
}

}  // namespace

void BeginIdentity(std::string_view metric_name, std::string& out) {
  Append(2 * metric_name.size() + 4, out, [&](char* to) { return WriteBegin(metric_name, to); });
}

void AppendIdentityLabel(const Label& label, std::string& out) {
  Append(2 * (label.name.size() + label.value.size()) + 6, out, [&](char* to) { return WriteLabel(label, to); });
}

void EndIdentity(std::string& out) {
  Append(1, out, [](char* to) { return WriteEnd(to); });
}

// Writes to memory that is surely enough, since a check per piece costs as much as the piece. Each byte of a name or
// value becomes at most two; what is around them (two pairs of quotes, '=' and ',') is no more than the 6 bytes around
// them in canonical form, twice.
void AppendIdentity(LabelsView labels, std::string& out) {
  constexpr size_t kBraces = 2;
  Append(2 * labels.canonical().size() + kBraces, out, [&](char* to) {
    to = WriteBegin(labels.metric_name(), to);
    for (const Label& label : labels) {
      if (label.name != kMetricName) to = WriteLabel(label, to);
    }
    return WriteEnd(to);
  });
}

std::string FormatIdentity(LabelsView labels) {
  std::string out;
  AppendIdentity(labels, out);
  return out;
}

// A recursive-descent parser that moves at_ forward over the text. A function that returns false has left at_ at the
// byte that does not fit, and expected_ says what should have stood there.
//
//   text  = [metric] [ "{" [pair {"," pair} [","]] "}" ]     not both absent
//   pair  = (label | quoted) "=" quoted | quoted             a quoted text alone is the metric's name
//
// Labels are views into the text; a text with escapes is copied to unescaped_. What AppendIdentity writes is already
// sorted and has no empty values. Add() checks that as labels are read, so that only unusual texts are sorted.
Result<std::span<const Label>> IdentityReader::Read(std::string_view text) {
  text_ = text;
  at_ = text.data();
  end_ = at_ + text.size();
  usual_ = true;
  labels_.clear();
  unescaped_.clear();
  if (!ReadAll()) {
    return Fail(Errc::kInvalid, format("not a series identity: expected {} at byte {}", expected_, at_ - text.data()));
  }
  if (!usual_) TRY(Normalize(labels_));
  return labels_;
}

bool IdentityReader::ReadAll() {
  SkipBlanks();
  const std::string_view name = TakeWord(kStartsMetric, kInMetric);
  if (!name.empty()) Add({kMetricName, name});
  SkipBlanks();
  if ((at_ != end_ || name.empty()) && !(Take('{', "'{'") && ReadPairs())) return false;
  SkipBlanks();
  return at_ == end_ || Expected("the end");
}

bool IdentityReader::ReadPairs() {
  for (bool first = true;; first = false) {
    SkipBlanks();
    if (Take('}', "',' or '}'")) return true;
    if (!first) {
      if (!Take(',', "',' or '}'")) return false;
      SkipBlanks();
      if (Take('}', "'}'")) return true;
    }
    if (!ReadPair()) return false;
  }
}

bool IdentityReader::ReadPair() {
  const bool quoted = at_ != end_ && *at_ == '"';
  std::string_view name;
  if (quoted) {
    if (!TakeQuoted(name)) return false;
  } else {
    name = TakeWord(kStartsLabel, kInLabel);
    if (name.empty()) return Expected("a label name");
  }
  SkipBlanks();
  if (!Take('=', "'='")) {
    if (quoted) Add({kMetricName, name});
    return quoted;
  }
  SkipBlanks();
  std::string_view value;
  if (!TakeQuoted(value)) return false;
  Add({name, value});
  return true;
}

void IdentityReader::Add(Label label) {
  usual_ = usual_ && !label.value.empty() && label.name > (labels_.empty() ? std::string_view() : labels_.back().name);
  labels_.push_back(label);
}

std::string_view IdentityReader::TakeWord(unsigned char starts, unsigned char goes_on) {
  const char* const begin = at_;
  if (at_ != end_ && Is(*at_, starts)) {
    do ++at_;
    while (at_ != end_ && Is(*at_, goes_on));
  }
  return {begin, static_cast<size_t>(at_ - begin)};
}

bool IdentityReader::TakeQuoted(std::string_view& text) {
  if (!Take('"', "'\"'")) return false;
  const char* const close = FindSpecial(at_, end_);
  if (close == end_ || *close != '"') return Unescape(text);
  text = {at_, static_cast<size_t>(close - at_)};
  at_ = close + 1;
  return true;
}

// The first escape of a text reserves enough for all of them, so that views into unescaped_ stay valid.
bool IdentityReader::Unescape(std::string_view& text) {
  unescaped_.reserve(text_.size());
  const size_t from = unescaped_.size();
  for (;;) {
    const char* const special = FindSpecial(at_, end_);
    unescaped_.append(at_, special);
    at_ = special;
    if (at_ == end_) return Expected("a closing '\"'");
    if (*at_ == '\n') return Expected("no line break inside quotes");
    if (*at_++ == '"') break;
    if (at_ == end_) return Expected("a closing '\"'");
    if (*at_ != '\\' && *at_ != '"' && *at_ != 'n') return Expected("\\\\, \\\" or \\n");
    unescaped_.push_back(*at_ == 'n' ? '\n' : *at_);
    ++at_;
  }
  text = std::string_view(unescaped_).substr(from);
  return true;
}

bool IdentityReader::Take(char c, std::string_view expected) {
  if (at_ == end_ || *at_ != c) return Expected(expected);
  ++at_;
  return true;
}

bool IdentityReader::Expected(std::string_view what) {
  expected_ = what;
  return false;
}

void IdentityReader::SkipBlanks() {
  while (at_ != end_ && IsBlank(*at_)) ++at_;
}

Result<Labels> ParseIdentity(std::string_view text) {
  IdentityReader reader;
  return Labels::FromUnsorted(TRY(reader.Read(text)));
}

}  // namespace mi::model
