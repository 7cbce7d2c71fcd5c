// Single characters of UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mi::query {

inline constexpr uint32_t kMaxCodePoint = 0x10ffff;
constexpr bool IsSurrogate(uint32_t code_point) { return code_point >= 0xd800 && code_point < 0xe000; }

// ASCII's only, whatever the locale.
constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// How many bytes the character at the front of `text` has; 0 when it is broken. Requires: not empty.
size_t CharacterSize(std::string_view text);

// Requires: <= kMaxCodePoint, no surrogate.
void AppendCharacter(uint32_t code_point, std::string& out);

// Up to `characters` of them, as a double-quoted string of Go, in which Prometheus writes its messages.
std::string Quote(std::string_view text, size_t characters = std::string_view::npos);
// The character at the front of `text` between single quotes; '' stands for the end of the input.
std::string QuoteCharacter(std::string_view text);

}  // namespace mi::query
