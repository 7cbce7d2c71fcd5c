#include "telemetry/printable.h"

#include <cstdint>

#include "base/format.h"
#include "base/utf8.h"

namespace mi::telemetry {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// C0, DEL and C1: what a terminal obeys instead of showing.
bool IsControl(char32_t code) { return code < 0x20 || (code >= 0x7F && code < 0xA0); }

void AppendHex(std::string_view bytes, std::string& line) {
  for (const char byte : bytes) line += mi::format("\\x{:02x}", static_cast<unsigned char>(byte));
}

}  // namespace

void AppendPrintable(std::string_view message, std::string& line) {
  while (!message.empty()) {
    const Utf8Character next = FirstUtf8(message);
    const auto bytes = message.substr(0, next.size);
    message.remove_prefix(next.size);
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
    const Utf8Character next = FirstUtf8(message);
    const auto bytes = message.substr(0, next.size);
    message.remove_prefix(next.size);
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
    const Utf8Character next = FirstUtf8(text);
    valid += next.valid ? text.substr(0, next.size) : kReplacement;
    text.remove_prefix(next.size);
  }
  return valid;
}

}  // namespace mi::telemetry
