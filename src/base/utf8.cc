#include "base/utf8.h"

#include <cassert>
#include <cstdint>
#include <cstring>

namespace mi {

// The lead byte tells the length. The shortest form is required, so each length has a smallest code point.
Utf8Character FirstUtf8(std::string_view text) {
  assert(!text.empty());
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80) return {1, true, lead};
  const size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || size > text.size()) return {};
  char32_t code = lead & (0xFFU >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0U) != 0x80U) return {};
    code = (code << 6U) | (byte & 0x3FU);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kSmallest[size] || code > kMaxCodePoint || IsSurrogate(code)) return {};
  return {size, true, code};
}

namespace {

template <typename Word>
Word LoadAt(const char* at) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// Eight bytes at a time, or four. The last words overlap those before, so no byte is left over.
bool IsAscii(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  if (text.size() >= 8) {
    uint64_t any = LoadAt<uint64_t>(end - 8);
    for (; end - at > 8; at += 8) any |= LoadAt<uint64_t>(at);
    return (any & 0x8080808080808080) == 0;
  }
  if (text.size() >= 4) return ((LoadAt<uint32_t>(at) | LoadAt<uint32_t>(end - 4)) & 0x80808080) == 0;
  return text.empty() || ((text.front() | text[text.size() / 2] | text.back()) & 0x80) == 0;
}

}  // namespace

// Most text is ASCII.
bool IsValidUtf8(std::string_view text) {
  if (IsAscii(text)) return true;
  while (!text.empty()) {
    if (static_cast<unsigned char>(text.front()) < 0x80) {
      text.remove_prefix(1);
      continue;
    }
    const Utf8Character first = FirstUtf8(text);
    if (!first.valid) return false;
    text.remove_prefix(first.size);
  }
  return true;
}

std::string ToValidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const Utf8Character next = FirstUtf8(text);
    valid += next.valid ? text.substr(0, next.size) : kReplacementCharacter;
    text.remove_prefix(next.size);
  }
  return valid;
}

void AppendUtf8(char32_t code, std::string& out) {
  assert(code <= kMaxCodePoint && !IsSurrogate(code));
  const auto append_tail = [&](unsigned shift) { out.push_back(static_cast<char>(0x80U | ((code >> shift) & 0x3FU))); };
  if (code < 0x80) {
    out.push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out.push_back(static_cast<char>(0xC0U | (code >> 6U)));
    append_tail(0);
  } else if (code < 0x10000) {
    out.push_back(static_cast<char>(0xE0U | (code >> 12U)));
    append_tail(6);
    append_tail(0);
  } else {
    out.push_back(static_cast<char>(0xF0U | (code >> 18U)));
    append_tail(12);
    append_tail(6);
    append_tail(0);
  }
}

}  // namespace mi
