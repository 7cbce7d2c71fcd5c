#include "catalog/identity_scan.h"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace mi::catalog {
namespace {

enum : uint8_t { kStartsLabel = 1, kInLabel = 2, kStartsMetric = 4, kInMetric = 8 };

constexpr std::array<uint8_t, 256> kClasses = [] {
  std::array<uint8_t, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    const bool digit = c >= '0' && c <= '9';
    if (word) classes[static_cast<size_t>(c)] = kStartsLabel | kInLabel | kStartsMetric | kInMetric;
    if (digit) classes[static_cast<size_t>(c)] = kInLabel | kInMetric;
    if (c == ':') classes[static_cast<size_t>(c)] = kStartsMetric | kInMetric;
  }
  return classes;
}();

bool Is(char c, uint8_t wanted) { return (kClasses[static_cast<unsigned char>(c)] & wanted) != 0; }

// A word of the class, or nothing.
std::string_view TakeWord(const char*& at, const char* end, uint8_t starts, uint8_t goes_on) {
  const char* const begin = at;
  if (at != end && Is(*at, starts)) {
    do ++at;
    while (at != end && Is(*at, goes_on));
  }
  return {begin, static_cast<size_t>(at - begin)};
}

// The high bit of each byte of `word` that equals `c`; bits above the lowest one that is set may lie.
uint64_t BytesEqual(uint64_t word, char c) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  const uint64_t differs = word ^ (kOnes * static_cast<unsigned char>(c));
  return (differs - kOnes) & ~differs & (kOnes << 7);
}

// The first '"', '\\' or '\n', or the end.
const char* FindSpecial(const char* at, const char* end) {
  static_assert(std::endian::native == std::endian::little);
  for (; end - at >= 8; at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, at, sizeof(word));
    const uint64_t found = BytesEqual(word, '"') | BytesEqual(word, '\\') | BytesEqual(word, '\n');
    if (found != 0) return at + std::countr_zero(found) / 8;
  }
  while (at != end && *at != '"' && *at != '\\' && *at != '\n') ++at;
  return at;
}

}  // namespace

bool ScanIdentity(std::string_view text, std::vector<model::Label>& labels) {
  labels.clear();
  const char* at = text.data();
  const char* const end = at + text.size();
  const std::string_view metric = TakeWord(at, end, kStartsMetric, kInMetric);
  if (!metric.empty()) labels.push_back({model::kMetricName, metric});
  if (end - at < 2 || *at != '{') return false;
  ++at;
  if (*at == '}') return at + 1 == end;

  std::string_view before;
  for (;;) {
    const std::string_view name = TakeWord(at, end, kStartsLabel, kInLabel);
    if (name <= before || name == model::kMetricName) return false;
    if (end - at < 2 || at[0] != '=' || at[1] != '"') return false;
    at += 2;
    const char* const close = FindSpecial(at, end);
    if (close == end || *close != '"' || close == at) return false;
    labels.push_back({name, {at, static_cast<size_t>(close - at)}});
    at = close + 1;
    if (at == end) return false;
    if (*at == '}') return at + 1 == end;
    if (*at++ != ',') return false;
    before = name;
  }
}

}  // namespace mi::catalog
