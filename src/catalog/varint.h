// Numbers in base 128, the lowest digit first: the encoding of the catalogue's own memory. Never stored, never sent.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/varint.h"

namespace mi::catalog {

inline constexpr size_t kMaxVarint = 10;

// Returns the position behind the number. Requires: room for VarintSize(value) bytes at `at`.
inline uint8_t* PutVarint(uint64_t value, uint8_t* at) {
  while (value >= 0x80) {
    *at++ = static_cast<uint8_t>(value | 0x80);
    value >>= 7;
  }
  *at++ = static_cast<uint8_t>(value);
  return at;
}

// Does not check the bytes: they were written by PutVarint.
inline const uint8_t* GetVarint(const uint8_t* at, uint64_t& value) {
  uint64_t byte = *at++;
  value = byte & 0x7f;
  for (int shift = 7; byte >= 0x80; shift += 7) {
    byte = *at++;
    value |= (byte & 0x7f) << shift;
  }
  return at;
}

// A text that is stored behind its length.
inline std::string_view GetText(const uint8_t* at) {
  uint64_t size = 0;
  at = GetVarint(at, size);
  return {reinterpret_cast<const char*>(at), static_cast<size_t>(size)};
}

}  // namespace mi::catalog
