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

}  // namespace mi
