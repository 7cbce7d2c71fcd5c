// What stands in Redis: `mi:` + the 16 bytes of a fingerprint (docs/formats/redis.md).
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "model/fingerprint.h"

namespace mi::dedupe {

inline constexpr std::string_view kRedisPrefix = "mi:";

class RedisKey {
 public:
  explicit RedisKey(model::Fingerprint fingerprint) {
    const auto bytes = fingerprint.ToBytes();
    std::ranges::copy(bytes, std::ranges::copy(kRedisPrefix, bytes_.begin()).out);
  }
  std::string_view view() const { return {bytes_.data(), bytes_.size()}; }

 private:
  std::array<char, kRedisPrefix.size() + 16> bytes_;
};

}  // namespace mi::dedupe
