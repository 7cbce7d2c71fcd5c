#include "config/quote.h"

#include <algorithm>

namespace mi::config {
namespace {

unsigned char At(std::string_view text, size_t i) { return static_cast<unsigned char>(i < text.size() ? text[i] : 0); }

// Length of the UTF-8 sequence at `i` (RFC 3629); 0 if there is none, or if it is a control character.
size_t SequenceAt(std::string_view text, size_t i) {
  const unsigned char lead = At(text, i);
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7F ? 1 : 0;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  char32_t code = lead & (0xFFU >> (length + 1));
  for (size_t k = 1; k < length; ++k) {
    if ((At(text, i + k) & 0xC0U) != 0x80U) return 0;
    code = (code << 6U) | (At(text, i + k) & 0x3FU);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0xA0, 0x800, 0x10000};  // 0x80 to 0x9F are controls too
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  return lead < 0xC0 || lead > 0xF4 || code < kSmallest[length] || code > 0x10FFFF || surrogate ? 0 : length;
}

bool IsLineControl(char c) { return c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

std::string Quoted(std::string_view text) {
  constexpr size_t kReadable = 80;
  std::string quoted = "'";
  size_t i = 0;
  while (i < text.size() && i < kReadable) {
    const size_t length = SequenceAt(text, i);
    if (length == 0) {
      quoted += '?';
      ++i;
    } else {
      quoted += text.substr(i, length);
      i += length;
    }
  }
  quoted += i < text.size() ? "…'" : "'";
  return quoted;
}

// Of a malformed one nobody knows where a password ends (it may hold ?, / and #): all up to the last @ may be part of
// it.
std::string ShownUrl(std::string_view url) {
  constexpr std::string_view kMask = "***";
  const size_t scheme = url.find("://");
  const size_t begin = scheme == std::string_view::npos ? 0 : scheme + 3;
  const std::string_view authority = url.substr(begin, url.find_first_of("/?#", begin) - begin);
  const std::string_view port = authority.substr(std::min(authority.rfind(':'), authority.size() - 1) + 1);
  const bool plain = !authority.empty() && !authority.contains('@') &&
                     (authority.ends_with(']') || !authority.contains(':') ||
                      (!port.empty() && port.find_first_not_of("0123456789") == std::string_view::npos));
  std::string shown(url.substr(0, begin));
  size_t rest = begin;
  if (const size_t at = url.rfind('@'); !plain && at != std::string_view::npos && at >= begin) {
    shown += kMask;
    rest = at;
  }
  const size_t query = url.find_first_of("?#", rest);
  shown += url.substr(rest, query - rest);
  if (query != std::string_view::npos) (shown += url[query]) += kMask;
  return shown;
}

std::string YamlQuoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': quoted += "\\\""; break;
      case '\\': quoted += "\\\\"; break;
      case '\n': quoted += "\\n"; break;
      case '\r': quoted += "\\r"; break;
      case '\t': quoted += "\\t"; break;
      default: quoted += c;
    }
  }
  quoted += '"';
  return quoted;
}

std::optional<size_t> FirstBadByte(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = SequenceAt(text, i);
    if (length == 0 && !IsLineControl(text[i])) return i;
    i += length == 0 ? 1 : length;
  }
  return std::nullopt;
}

bool IsOneLine(std::string_view text) {
  for (const char c : text) {
    if (IsLineControl(c)) return false;
  }
  return !FirstBadByte(text);
}

}  // namespace mi::config
