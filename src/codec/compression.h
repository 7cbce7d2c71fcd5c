// The compression of request bodies (snappy's block format, zstd), and zstd's contexts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/block.h"
#include "base/result.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace mi::codec {

enum class Compression : uint8_t { kSnappy, kZstd };

std::string_view ToString(Compression compression);  // "snappy", "zstd"

struct FreeZstd {
  void operator()(ZSTD_DCtx_s* context) const;
  void operator()(ZSTD_CCtx_s* context) const;
};
using ZstdDecoder = std::unique_ptr<ZSTD_DCtx_s, FreeZstd>;
using ZstdEncoder = std::unique_ptr<ZSTD_CCtx_s, FreeZstd>;
ZstdDecoder MakeZstdDecoder();
ZstdEncoder MakeZstdEncoder();

// What a body may decode to, whatever its size: one larger than this may be at most kMaxExpansion times its body. The
// bodies of senders stay below: zstd shrinks 10,000 series of 37 labels that differ in one number to a 900th if all of
// their values are equal, and to a 230th if not. A frame of zeros shrinks to a 30,000th.
inline constexpr uint64_t kAlwaysDecoded = 1 << 20;
inline constexpr uint64_t kMaxExpansion = 1000;

// The most that Decode() would give: the size that the body declares, or the limit if it declares none or a larger one.
// Reads only the heads of frames and blocks.
uint64_t DecodedSizeBound(std::string_view body, uint64_t max_decoded_bytes);

// Decodes request bodies. Keeps its buffer and its zstd context from one body to the next: make one per thread.
//
// Threads: confined to one. Ownership: owns the decoded bytes until the next Decode.
// Memory: as much as the largest recent body, never above the limit. The buffer of a huge body is freed when much
// smaller ones follow.
class Decompressor {
 public:
  // The decoded body, valid until the next call. A body that does not decode as `named` is tried with the other codec
  // (old persistent queues mislabel blocks). Declared sizes are checked before anything is allocated; a zstd frame
  // without a declared size is decoded up to the limit. Several zstd frames are one body. kTooLarge: above
  // `max_decoded_bytes` (receive.max_decoded_bytes), or more than kMaxExpansion times the body. kInvalid: empty, or
  // neither codec can read it.
  Result<std::string_view> Decode(Compression named, std::string_view body, uint64_t max_decoded_bytes);

  size_t buffer_bytes() const { return buffer_.capacity(); }

 private:
  // Of the decoded bytes. `name`: for messages. `of_all`: receive.max_decoded_bytes, whatever the size of the body.
  struct Limit {
    uint64_t bytes;
    uint64_t of_all;
    std::string_view name;
  };
  static std::unexpected<Error> TooLarge(std::string_view how, uint64_t size, const Limit& limit);

  Result<std::string_view> DecodeSnappy(std::string_view body, const Limit& limit);
  Result<std::string_view> DecodeZstd(std::string_view body, const Limit& limit);
  char* Reserve(size_t size);

  ZstdDecoder zstd_;
  Block buffer_;
  size_t last_size_ = 0;  // of the last decoded body
};

}  // namespace mi::codec
