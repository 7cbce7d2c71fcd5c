// Decodes snappy's block format. An own decoder, because it takes half the instructions of libsnappy 1.1.9; tests and
// fuzzing compare the two on every input, good or bad. Internal to this room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mi::codec {

// The decoded size that the body declares. Nothing: it does not begin with a size.
std::optional<uint32_t> SnappySize(std::string_view body);

// UncompressSnappy may write this many bytes beyond the decoded ones.
inline constexpr size_t kSnappySlack = 64;

enum class SnappyEngine : uint8_t { kPortable, kAvx2 };
// The fastest one that this processor can run.
SnappyEngine BestSnappyEngine();

// Decodes to `out`, which has room for *SnappySize(body) + kSnappySlack bytes. False: the body is malformed, or does
// not decode to exactly that size; the bytes at `out` then have no meaning.
bool UncompressSnappy(std::string_view body, char* out, SnappyEngine engine = BestSnappyEngine());

}  // namespace mi::codec
