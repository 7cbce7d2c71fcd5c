// Protobuf by hand, for tests of what no encoder writes.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/varint.h"

namespace mi::codec {

inline std::string Varint(uint64_t value) {
  std::string out;
  AppendVarint(value, out);
  return out;
}

// A varint that is longer than it need be.
inline std::string PaddedVarint(uint64_t value) {
  std::string out = Varint(value);
  out.back() = static_cast<char>(out.back() | 0x80);
  return out + std::string(1, '\0');
}

inline std::string BytesField(uint32_t number, std::string_view bytes) {
  return Varint(number << 3 | 2) + Varint(bytes.size()) + std::string(bytes);
}
inline std::string VarintField(uint32_t number, uint64_t value) { return Varint(number << 3) + Varint(value); }
inline std::string DoubleField(uint32_t number, double value) {
  std::string bits(8, '\0');
  std::memcpy(bits.data(), &value, 8);
  return Varint(number << 3 | 1) + bits;
}

inline std::string LabelField(std::string_view name, std::string_view value) {
  return BytesField(1, BytesField(1, name) + BytesField(2, value));
}
inline std::string SampleField(double value = 1, uint64_t timestamp_ms = 1700000000000) {
  return BytesField(2, DoubleField(1, value) + VarintField(2, timestamp_ms));
}

}  // namespace mi::codec
