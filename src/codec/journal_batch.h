// Series batches as the bytes of one journal row (docs/formats/journal-batch.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/series_batch.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace mi::codec {

// A row holds at most so many bytes before compression (SQLite ends at 1 GB).
inline constexpr uint64_t kMaxJournalRowBytes = 512ULL << 20;

// Threads: confined to one; keeps its zstd state and buffers from row to row.
class JournalEncoder {
 public:
  JournalEncoder();
  ~JournalEncoder();

  // One row for all batches, in order; valid until the next call. kTooLarge: above kMaxJournalRowBytes.
  Result<std::string_view> Encode(std::span<const model::SeriesBatch* const> batches);
  Result<std::string_view> Encode(const model::SeriesBatch& batch);

 private:
  struct FreeCCtx {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, FreeCCtx> zstd_;
  std::string plain_;
  std::string row_;
};

// Threads: confined to one.
class JournalDecoder {
 public:
  JournalDecoder();
  ~JournalDecoder();

  // The batches of a row, in order. kCorrupt: any bit of it is not as it was written.
  Result<std::vector<model::SeriesBatch>> Decode(std::string_view row);

 private:
  struct FreeDCtx {
    void operator()(ZSTD_DCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_DCtx_s, FreeDCtx> zstd_;
  std::unique_ptr<char[]> plain_;
  size_t plain_capacity_ = 0;
};

}  // namespace mi::codec
