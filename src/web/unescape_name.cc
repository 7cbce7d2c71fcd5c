#include <algorithm>
#include <charconv>

#include "query/utf8.h"
#include "web/parameters.h"

namespace mi::web {
namespace {

constexpr std::string_view kPrefix = "U__";
constexpr size_t kMaxHexDigits = 6;

// The character of "2e_" at the front of `text`, which is then behind it; nothing when it is none.
std::optional<uint32_t> TakeCodePoint(std::string_view& text) {
  const size_t size = text.find('_');
  if (size == std::string_view::npos || size == 0 || size > kMaxHexDigits) return std::nullopt;
  uint32_t code_point = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + size, code_point, 16);
  if (error != std::errc() || end != text.data() + size) return std::nullopt;
  if (code_point > query::kMaxCodePoint || query::IsSurrogate(code_point)) return std::nullopt;
  text.remove_prefix(size + 1);
  return code_point;
}

}  // namespace

std::string UnescapeName(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::string(name);
  std::string plain;
  std::string_view rest = name.substr(kPrefix.size());
  while (!rest.empty()) {
    const char c = rest.front();
    rest.remove_prefix(1);
    if (c != '_') {
      plain.push_back(c);
    } else if (rest.starts_with('_')) {
      rest.remove_prefix(1);
      plain.push_back('_');
    } else if (const std::optional<uint32_t> code_point = TakeCodePoint(rest)) {
      query::AppendCharacter(*code_point, plain);
    } else {
      return std::string(name);
    }
  }
  return plain;
}

}  // namespace mi::web
