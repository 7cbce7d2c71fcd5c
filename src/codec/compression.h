// The envelopes that requests and journal rows travel in: snappy's block format and zstd.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct ZSTD_DCtx_s;
struct ZSTD_CCtx_s;

namespace mi::codec {

enum class Compression : uint8_t { kSnappy, kZstd };

std::string_view ToString(Compression compression);  // "snappy", "zstd"

// Opens request bodies. Keeps its buffer and its zstd state from one body to the next: make one a thread.
//
// Threads: confined to one. Ownership: owns the decoded bytes, until the next Decode.
// Memory: as much as the largest recent body, never above the limit; a single huge body is forgotten after a while, a
// huge window of zstd at once.
class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;

  // The decoded body, valid until the next call. A body that does not decode as `named` is tried with the other codec
  // (old persistent queues mislabel blocks). Sizes that the body declares are checked before anything is allocated; a
  // zstd frame without a declared size is decoded up to the limit and no further. Several zstd frames are one body.
  // kTooLarge: above `max_decoded_bytes` (knob receive.max_decoded_bytes). kInvalid: empty, or neither codec reads it.
  Result<std::string_view> Decode(Compression named, std::string_view body, uint64_t max_decoded_bytes);

  size_t buffer_bytes() const { return capacity_; }
  size_t zstd_bytes() const;  // what zstd keeps besides

 private:
  struct FreeDCtx {
    void operator()(ZSTD_DCtx_s* context) const;
  };

  Result<std::string_view> DecodeSnappy(std::string_view body, uint64_t limit);
  Result<std::string_view> DecodeZstd(std::string_view body, uint64_t limit);
  Result<std::string_view> DecodeZstdStream(std::string_view body, uint64_t limit);
  char* Reserve(size_t size, size_t keep = 0);
  void ForgetHugeBuffer();

  std::unique_ptr<ZSTD_DCtx_s, FreeDCtx> zstd_;
  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0;
  size_t recent_peak_ = 0;  // largest use since the last look at it
  uint32_t decodes_until_look_ = 0;
};

// Makes request bodies (the load generator and tests).
std::string Compress(Compression compression, std::string_view raw);

}  // namespace mi::codec
