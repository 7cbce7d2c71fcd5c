// A fast seeded hash for the dictionary's tables, which live in memory only. The seed is drawn at start: whoever
// chooses label values should not choose our collisions as well.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace mi::catalog {

namespace text_hash {

inline uint64_t Mix(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

template <typename T>
uint64_t Load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

}  // namespace text_hash

inline uint64_t HashText(std::string_view text, uint64_t seed) {
  using text_hash::Load;
  using text_hash::Mix;
  constexpr uint64_t kFirst = 0x9e3779b97f4a7c15;
  constexpr uint64_t kSecond = 0xd1b54a32d192ed03;
  uint64_t hash = Mix(seed ^ kFirst, text.size() ^ kSecond);
  const char* at = text.data();
  size_t left = text.size();
  for (; left > 8; left -= 8, at += 8) hash = Mix(hash ^ Load<uint64_t>(at), kFirst);
  // The last 1 to 8 bytes, read without a loop; they may overlap each other.
  uint64_t tail = 0;
  if (left == 8) {
    tail = Load<uint64_t>(at);
  } else if (left >= 4) {
    tail = Load<uint32_t>(at) << 32 | Load<uint32_t>(at + left - 4);
  } else if (left > 0) {
    tail = Load<uint8_t>(at) << 16 | Load<uint8_t>(at + left / 2) << 8 | Load<uint8_t>(at + left - 1);
  }
  return Mix(hash ^ tail, kSecond);
}

}  // namespace mi::catalog
