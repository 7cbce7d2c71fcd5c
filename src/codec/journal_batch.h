// Series batches as the bytes of one journal row (docs/formats/journal-batch.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "codec/compression.h"
#include "model/series_batch.h"

namespace mi::codec {

// The most bytes of a row before compression (SQLite's limit is 1 GB).
inline constexpr uint64_t kMaxJournalRowBytes = 512ULL << 20;

// Threads: confined to one. Reuse it: it keeps its zstd context and buffers.
class JournalEncoder {
 public:
  // One row for all batches, in order; valid until the next call. kTooLarge: above kMaxJournalRowBytes.
  Result<std::string_view> Encode(std::span<const model::SeriesBatch* const> batches);

 private:
  ZstdEncoder zstd_ = MakeZstdEncoder();
  std::string plain_;
  std::string row_;
};

// Threads: confined to one. Reuse it, like the encoder.
class JournalDecoder {
 public:
  // The batches of a row, in order. kCorrupt: the row differs from what was written, even by one bit.
  Result<std::vector<model::SeriesBatch>> Decode(std::string_view row);

 private:
  ZstdDecoder zstd_ = MakeZstdDecoder();
  std::unique_ptr<char[]> plain_;
  size_t plain_capacity_ = 0;
};

}  // namespace mi::codec
