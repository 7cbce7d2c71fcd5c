// Our decoder of snappy bodies against libsnappy: both accept the same bodies and decode them to the same bytes. Body
// and result are in memory of exactly the size that they may use.
#include <snappy.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>

#include "codec/snappy_decoder.h"

namespace {

constexpr size_t kMaxDecoded = 1 << 20;

void Check(bool holds) {
  if (!holds) std::abort();
}

void Compare(std::string_view body) {
  size_t size = 0;
  const bool has_size = snappy::GetUncompressedLength(body.data(), body.size(), &size);
  const auto ours = mi::codec::SnappySize(body);
  Check(ours.has_value() == has_size && (!has_size || *ours == size));
  if (!has_size || size > kMaxDecoded) return;
  const auto out = std::make_unique_for_overwrite<char[]>(size + mi::codec::kSnappySlack);
  const auto reference = std::make_unique_for_overwrite<char[]>(size);
  const bool good = snappy::RawUncompress(body.data(), body.size(), reference.get());
  for (const auto engine : {mi::codec::SnappyEngine::kPortable, mi::codec::BestSnappyEngine()}) {
    Check(mi::codec::UncompressSnappy(body, out.get(), engine) == good);
    Check(!good || std::equal(reference.get(), reference.get() + size, out.get()));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  Compare(body);
  std::string compressed;
  snappy::Compress(body.data(), body.size(), &compressed);
  Compare(compressed);
  return 0;
}
