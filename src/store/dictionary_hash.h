// The key of a dictionary row (docs/formats/sql.md): a hash that people can compute in any SQL dialect and shell.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace mi::store {

// The first 16 bytes of SHA-256: UNHEX(LEFT(SHA2(x, 256), 32)).
std::array<char, 16> DictionaryHash(std::string_view bytes);

// The same as a text, which compares as databases do.
inline std::string DictionaryHashText(std::string_view bytes) {
  const std::array<char, 16> hash = DictionaryHash(bytes);
  return {hash.data(), hash.size()};
}

}  // namespace mi::store
