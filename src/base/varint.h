// Protobuf's varint: seven bits per byte, the lowest first; the top bit says that another byte follows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace mi {

inline size_t VarintSize(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

inline void AppendVarint(uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

inline constexpr size_t kMaxVarint = 10;

// Returns the position behind the number. Requires: room for VarintSize(value) bytes at `at`.
inline uint8_t* PutVarint(uint64_t value, uint8_t* at) {
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<uint8_t>(value | 0x80);
  *at++ = static_cast<uint8_t>(value);
  return at;
}

// The number at `at`, which then moves behind it. Does not check the bytes: only for what PutVarint has written in this
// process.
inline uint64_t TakeVarint(const uint8_t*& at) {
  uint64_t byte = *at++;
  uint64_t value = byte & 0x7f;
  for (int shift = 7; byte >= 0x80; shift += 7) {
    byte = *at++;
    value |= (byte & 0x7f) << shift;
  }
  return value;
}

}  // namespace mi
