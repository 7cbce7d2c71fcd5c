#include "query/utf8.h"

#include <algorithm>

#include "base/format.h"
#include "base/utf8.h"

namespace mi::query {
namespace {

void AppendEscaped(std::string_view character, char quote, std::string& out) {
  const char c = character.front();
  if (character.size() > 1) {
    out += character;
    return;
  }
  switch (c) {
    case '\a': out += "\\a"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    case '\v': out += "\\v"; return;
    case '\\': out += "\\\\"; return;
    default: break;
  }
  if (c == quote) {
    out.push_back('\\');
    out.push_back(c);
  } else if (c >= ' ' && c < 0x7f) {
    out.push_back(c);
  } else {
    out += format("\\x{:02x}", static_cast<unsigned char>(c));
  }
}

}  // namespace

size_t CharacterSize(std::string_view text) {
  const Utf8Character first = FirstUtf8(text);
  return first.valid ? first.size : 0;
}

void AppendCharacter(uint32_t code_point, std::string& out) {
  auto tail = [&](unsigned shift) { out.push_back(static_cast<char>(0x80U | ((code_point >> shift) & 0x3fU))); };
  if (code_point < 0x80) {
    out.push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    out.push_back(static_cast<char>(0xc0U | (code_point >> 6U)));
    tail(0);
  } else if (code_point < 0x10000) {
    out.push_back(static_cast<char>(0xe0U | (code_point >> 12U)));
    tail(6);
    tail(0);
  } else {
    out.push_back(static_cast<char>(0xf0U | (code_point >> 18U)));
    tail(12);
    tail(6);
    tail(0);
  }
}

std::string Quote(std::string_view text, size_t characters) {
  std::string out = "\"";
  for (; !text.empty() && characters > 0; --characters) {
    const size_t size = std::max<size_t>(CharacterSize(text), 1);
    AppendEscaped(text.substr(0, size), '"', out);
    text.remove_prefix(size);
  }
  out.push_back('"');
  return out;
}

std::string QuoteCharacter(std::string_view text) {
  if (text.empty() || CharacterSize(text) == 0) return "'\xef\xbf\xbd'";  // what Go writes for what is no character
  std::string out = "'";
  AppendEscaped(text.substr(0, CharacterSize(text)), '\'', out);
  out.push_back('\'');
  return out;
}

}  // namespace mi::query
