#include "base/quote.h"

#include <algorithm>

#include "base/ascii.h"
#include "base/format.h"
#include "base/utf8.h"

namespace mi {
namespace {

// The short escape of Go's string literals for `c`, or '\0'.
char GoEscape(char c) {
  switch (c) {
    case '\a': return 'a';
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    case '\v': return 'v';
    case '\\': return '\\';
    default: return '\0';
  }
}

void AppendGoEscaped(std::string_view character, char quote, std::string& out) {
  const char c = character.front();
  const char escape = c == quote ? quote : GoEscape(c);
  if (character.size() > 1 || (escape == '\0' && c >= ' ' && c < 0x7F)) {
    out += character;
  } else if (escape != '\0') {
    (out += '\\') += escape;
  } else {
    AppendFormat(out, "\\x{:02x}", static_cast<unsigned char>(c));
  }
}

}  // namespace

std::string Quoted(std::string_view text) {
  constexpr size_t kReadableBytes = 80;
  std::string quoted = "'";
  size_t i = 0;
  while (i < text.size() && i < kReadableBytes) {
    const Utf8Character next = FirstUtf8(text.substr(i));
    quoted += next.valid && !IsControl(next.code) ? text.substr(i, next.size) : "?";
    i += next.size;
  }
  quoted += i < text.size() ? "…'" : "'";
  return quoted;
}

void AppendPrintable(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const Utf8Character next = FirstUtf8(text);
    const auto bytes = text.substr(0, next.size);
    text.remove_prefix(next.size);
    if (next.valid && !IsControl(next.code)) {
      out += bytes;
    } else if (next.valid && next.code == '\n') {
      out += "\\n";
    } else if (next.valid && next.code == '\t') {
      out += "\\t";
    } else {
      for (const char byte : bytes) AppendFormat(out, "\\x{:02x}", static_cast<unsigned char>(byte));
    }
  }
}

std::string Printable(std::string_view text) {
  std::string out;
  AppendPrintable(text, out);
  return out;
}

// In a malformed URL nobody knows where a password ends: it may contain '?', '/' and '#'. So unless the authority is
// plain (no '@', and a numeric port if any), everything up to the last '@' may be part of the password.
std::string ShownUrl(std::string_view url) {
  constexpr std::string_view kMask = "***";
  const size_t scheme = url.find("://");
  const size_t begin = scheme == std::string_view::npos ? 0 : scheme + 3;
  const std::string_view authority = url.substr(begin, url.find_first_of("/?#", begin) - begin);
  const std::string_view port = authority.substr(std::min(authority.rfind(':'), authority.size() - 1) + 1);
  const bool plain =
      !authority.empty() && !authority.contains('@') &&
      (authority.ends_with(']') || !authority.contains(':') || (!port.empty() && std::ranges::all_of(port, IsDigit)));
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

std::string GoQuoted(std::string_view text, size_t characters) {
  std::string out = "\"";
  for (; !text.empty() && characters > 0; --characters) {
    const size_t size = FirstUtf8(text).size;
    AppendGoEscaped(text.substr(0, size), '"', out);
    text.remove_prefix(size);
  }
  out += '"';
  return out;
}

std::string GoQuotedCharacter(std::string_view text) {
  std::string out = "'";
  if (text.empty() || !FirstUtf8(text).valid) {
    out += kReplacementCharacter;
  } else {
    AppendGoEscaped(text.substr(0, FirstUtf8(text).size), '\'', out);
  }
  out += '\'';
  return out;
}

}  // namespace mi
