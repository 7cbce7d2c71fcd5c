#include "telemetry/printable.h"

#include <cstddef>
#include <cstdint>

#include "base/format.h"

namespace mi::telemetry {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Sequence {
  size_t length;  // bytes taken; 1 for an invalid one
  bool valid;
  char32_t code;
};

bool IsContinuation(unsigned char byte) { return (byte & 0xC0U) == 0x80U; }

// The UTF-8 sequence in front of `text`, by the table of RFC 3629: no overlong forms, no surrogates.
Sequence FirstSequence(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(i < text.size() ? text[i] : 0); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return {1, true, lead};
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  char32_t code = lead & (0xFFU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if (!IsContinuation(at(i))) return {1, false, 0};
    code = (code << 6U) | (at(i) & 0x3FU);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (lead < 0xC0 || lead > 0xF4 || code < kSmallest[length] || code > 0x10FFFF || surrogate) return {1, false, 0};
  return {length, true, code};
}

// C0, DEL and C1: what a terminal obeys instead of showing.
bool IsControl(char32_t code) { return code < 0x20 || (code >= 0x7F && code < 0xA0); }

void AppendHex(std::string_view bytes, std::string& line) {
  for (const char byte : bytes) line += mi::format("\\x{:02x}", static_cast<unsigned char>(byte));
}

}  // namespace

void AppendPrintable(std::string_view message, std::string& line) {
  while (!message.empty()) {
    const Sequence next = FirstSequence(message);
    const auto bytes = message.substr(0, next.length);
    message.remove_prefix(next.length);
    if (next.valid && !IsControl(next.code)) {
      line += bytes;
    } else if (next.valid && next.code == '\n') {
      line += "\\n";
    } else if (next.valid && next.code == '\t') {
      line += "\\t";
    } else {
      AppendHex(bytes, line);
    }
  }
}

void AppendJsonEscaped(std::string_view message, std::string& line) {
  while (!message.empty()) {
    const Sequence next = FirstSequence(message);
    const auto bytes = message.substr(0, next.length);
    message.remove_prefix(next.length);
    if (!next.valid) {
      line += kReplacement;
    } else if (IsControl(next.code)) {
      line += mi::format("\\u{:04x}", static_cast<uint32_t>(next.code));
    } else if (next.code == '"' || next.code == '\\') {
      line += '\\';
      line += bytes;
    } else {
      line += bytes;
    }
  }
}

std::string ToValidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const Sequence next = FirstSequence(text);
    valid += next.valid ? text.substr(0, next.length) : kReplacement;
    text.remove_prefix(next.length);
  }
  return valid;
}

}  // namespace mi::telemetry
