// UTF-8 by the table of RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mi {

inline constexpr char32_t kMaxCodePoint = 0x10FFFF;
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

constexpr bool IsSurrogate(char32_t code) { return code >= 0xD800 && code <= 0xDFFF; }
// C0, DEL and C1: characters that a terminal obeys instead of showing them.
constexpr bool IsControl(char32_t code) { return code < 0x20 || (code >= 0x7F && code < 0xA0); }

struct Utf8Character {
  size_t size = 1;  // in bytes; 1 if the bytes are invalid
  bool valid = false;
  char32_t code = 0;
};

// The character at the front of `text`. Requires: !text.empty().
Utf8Character FirstUtf8(std::string_view text);

bool IsValidUtf8(std::string_view text);

// `text` with each invalid byte replaced by U+FFFD.
std::string ToValidUtf8(std::string_view text);

// Requires: code <= kMaxCodePoint && !IsSurrogate(code).
void AppendUtf8(char32_t code, std::string& out);

}  // namespace mi
