#include "base/json.h"

#include <array>

#include "base/utf8.h"

namespace mi {
namespace {

constexpr std::array<char, 16> kHex = {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};

// Per byte: the character after the backslash; 'u' for a control character without a short form, '8' for a byte of a
// multi-byte character, which must be decoded; 0 for a byte that is copied.
constexpr std::array<char, 256> MakeEscapes() {
  std::array<char, 256> escapes{};
  for (size_t c = 0; c < 0x20; ++c) escapes[c] = 'u';
  for (size_t c = 0x7F; c < 0x100; ++c) escapes[c] = '8';
  escapes['\b'] = 'b';
  escapes['\f'] = 'f';
  escapes['\n'] = 'n';
  escapes['\r'] = 'r';
  escapes['\t'] = 't';
  escapes['"'] = '"';
  escapes['\\'] = '\\';
  return escapes;
}
constexpr std::array<char, 256> kEscapes = MakeEscapes();

void AppendUnicodeEscape(char32_t code, std::string& out) {
  out += "\\u00";
  out.push_back(kHex[code >> 4U]);
  out.push_back(kHex[code & 15U]);
}

}  // namespace

// Copies runs of bytes that need nothing in one piece: most label names and values are one run.
void AppendJsonString(std::string_view text, std::string& out, JsonEscapes escapes) {
  out.push_back('"');
  size_t copied = 0;
  for (size_t i = 0; i < text.size();) {
    const char escape = kEscapes[static_cast<unsigned char>(text[i])];
    if (escape == 0) {
      ++i;
      continue;
    }
    Utf8Character character{.size = 1, .valid = true, .code = static_cast<unsigned char>(text[i])};
    if (escape == '8') {
      character = FirstUtf8(text.substr(i));
      if (character.valid && (escapes == JsonEscapes::kRequired || !IsControl(character.code))) {
        i += character.size;
        continue;
      }
    }
    out.append(text.substr(copied, i - copied));
    i += character.size;
    copied = i;
    if (!character.valid) {
      out += kReplacementCharacter;
    } else if (escape == 'u' || escape == '8') {
      AppendUnicodeEscape(character.code, out);
    } else {
      out.push_back('\\');
      out.push_back(escape);
    }
  }
  out.append(text.substr(copied));
  out.push_back('"');
}

}  // namespace mi
