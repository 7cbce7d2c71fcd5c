// Little-endian base-128 numbers: what the catalogue's own memory is written in. Never stored, never sent.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace mi::catalog {

inline constexpr size_t kMaxVarint = 10;

// Requires: kMaxVarint bytes at `at`, or as many as the value takes. Gives the position behind it.
inline uint8_t* PutVarint(uint64_t value, uint8_t* at) {
  while (value >= 0x80) {
    *at++ = static_cast<uint8_t>(value | 0x80);
    value >>= 7;
  }
  *at++ = static_cast<uint8_t>(value);
  return at;
}

// Trusts the bytes: they are our own.
inline const uint8_t* GetVarint(const uint8_t* at, uint64_t& value) {
  uint64_t byte = *at++;
  value = byte & 0x7f;
  for (int shift = 7; byte >= 0x80; shift += 7) {
    byte = *at++;
    value |= (byte & 0x7f) << shift;
  }
  return at;
}

inline size_t VarintSize(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

// Text behind its length.
inline std::string_view GetText(const uint8_t* at) {
  uint64_t size = 0;
  at = GetVarint(at, size);
  return {reinterpret_cast<const char*>(at), static_cast<size_t>(size)};
}

}  // namespace mi::catalog
