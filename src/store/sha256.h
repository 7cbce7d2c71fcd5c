// SHA-256 (FIPS 180-4), for the unique keys of the dictionary tables: a hash that people can compute in any SQL dialect
// and shell. It stands here because a TLS library is a heavy price for sixty lines; new dictionary rows are its only
// use, so speed does not matter.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace mi::store {

std::array<unsigned char, 32> Sha256(std::string_view bytes);

// The key of a dictionary row: the first 16 bytes of SHA-256, UNHEX(LEFT(SHA2(x, 256), 32)).
std::array<char, 16> DictionaryHash(std::string_view bytes);

}  // namespace mi::store
