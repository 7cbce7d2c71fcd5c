// Compression: any body is decompressed within the limit and the bound that is known in advance, or refused;
// compressing and decompressing gives the same bytes.
#include <cstdlib>
#include <string>

#include "codec/compression.h"
#include "codec/testing/request_encoder.h"

namespace {

constexpr uint64_t kLimit = 256 << 10;

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  using mi::codec::Compression;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  mi::codec::Decompressor decompressor;
  for (const Compression named : {Compression::kSnappy, Compression::kZstd}) {
    const auto decoded = decompressor.Decode(named, body, kLimit);
    Check(!decoded || decoded->size() <= mi::codec::DecodedSizeBound(body, kLimit));
    Check(mi::codec::DecodedSizeBound(body, kLimit) <= kLimit);
    Check(decompressor.buffer_bytes() <= kLimit + 4096);
    if (decoded) {
      const std::string copy(*decoded);  // reads every byte of it
      Check(decompressor.Decode(named, Compress(named, copy), kLimit).value() == copy);
    }
    Check(size > kLimit || decompressor.Decode(named, Compress(named, body), kLimit).value() == body);
  }
  return 0;
}
