// The compression of answers, piece by piece (gzip, zstd).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "codec/compression.h"

struct z_stream_s;

namespace mi::codec {

enum class ContentCoding : uint8_t { kIdentity, kGzip, kZstd };

std::string_view ToString(ContentCoding coding);  // "identity", "gzip", "zstd", as in Content-Encoding

// Compresses one answer, fast rather than small. Threads: confined to one at a time. Memory: at most kBytes.
class StreamCompressor {
 public:
  static constexpr uint64_t kBytes = 1 << 20;

  // Requires: not kIdentity.
  explicit StreamCompressor(ContentCoding coding);

  // Appends to `out` so much that its reader can decode all of `text`.
  void Append(std::string_view text, std::string& out) { Write(text, Ends::kNo, out); }
  // The same for the last piece, which may be empty. Call it once.
  void Finish(std::string_view text, std::string& out) { Write(text, Ends::kYes, out); }

 private:
  enum class Ends : uint8_t { kNo, kYes };
  struct FreeDeflate {
    void operator()(z_stream_s* stream) const;
  };

  void Write(std::string_view text, Ends ends, std::string& out);
  void WriteGzip(std::string_view text, Ends ends, std::string& out);
  void WriteZstd(std::string_view text, Ends ends, std::string& out);

  std::unique_ptr<z_stream_s, FreeDeflate> gzip_;  // one of the two is set
  ZstdEncoder zstd_;
};

}  // namespace mi::codec
