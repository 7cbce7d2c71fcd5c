// SHA-256.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace mi::access {

using Digest = std::array<uint8_t, 32>;

// For tables whose keys are digests.
struct DigestHash {
  size_t operator()(const Digest& digest) const;
};

// FIPS 180-4.
Digest Sha256(std::string_view text);

// Digests that nobody outside of the process can compute. Threads: safe.
class KeyedDigest {
 public:
  KeyedDigest();  // with a random key

  // Of a list of texts: ("ab", "c") is another than ("a", "bc").
  Digest operator()(std::initializer_list<std::string_view> texts) const;

 private:
  std::string key_;
};

}  // namespace mi::access
