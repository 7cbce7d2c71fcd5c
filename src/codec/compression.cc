#include "codec/compression.h"

#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <bit>

#include "base/fatal.h"
#include "base/format.h"
#include "base/restart.h"
#include "codec/snappy_decoder.h"

namespace mi::codec {
namespace {

uint64_t LimitOf(std::string_view body, uint64_t max_decoded_bytes) {
  return std::min(max_decoded_bytes, std::max(kAlwaysDecoded, kMaxExpansion * body.size()));
}

// The sum of the sizes that all frames of the body declare; unknown if one is unknown. Reads only block headers.
unsigned long long DeclaredZstdSize(std::string_view body, uint64_t limit) {
  unsigned long long total = 0;
  while (!body.empty() && total <= limit) {
    const unsigned long long size = ZSTD_getFrameContentSize(body.data(), body.size());
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN) return size;
    if (__builtin_add_overflow(total, size, &total)) return ZSTD_CONTENTSIZE_ERROR;
    const size_t frame = ZSTD_findFrameCompressedSize(body.data(), body.size());
    if (ZSTD_isError(frame)) return ZSTD_CONTENTSIZE_ERROR;
    body.remove_prefix(frame);
  }
  return total;
}

}  // namespace

std::string_view ToString(Compression compression) {
  switch (compression) {
    case Compression::kSnappy: return "snappy";
    case Compression::kZstd: return "zstd";
  }
  return "unknown";
}

void FreeZstd::operator()(ZSTD_DCtx_s* context) const { ZSTD_freeDCtx(context); }
void FreeZstd::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }

ZstdDecoder MakeZstdDecoder() {
  ZstdDecoder decoder(ZSTD_createDCtx());
  if (!decoder) OutOfMemory();
  return decoder;
}

ZstdEncoder MakeZstdEncoder() {
  ZstdEncoder encoder(ZSTD_createCCtx());
  if (!encoder) OutOfMemory();
  return encoder;
}

std::unexpected<Error> Decompressor::TooLarge(std::string_view how, uint64_t size, const Limit& limit) {
  return Fail(Errc::kTooLarge, format("body decodes to {}{}, limit {} ({})", how, FormatBytes(size),
                                      FormatBytes(limit.bytes), limit.name));
}

// A body may be readable by both codecs, so the larger size counts.
uint64_t DecodedSizeBound(std::string_view body, uint64_t max_decoded_bytes) {
  const uint64_t limit = LimitOf(body, max_decoded_bytes);
  const unsigned long long of_zstd = DeclaredZstdSize(body, limit);
  const uint64_t of_snappy = SnappySize(body).value_or(0);
  const uint64_t size = of_zstd == ZSTD_CONTENTSIZE_ERROR ? of_snappy : std::max<uint64_t>(of_zstd, of_snappy);
  return std::min(size, limit);  // an unknown size is a huge number
}

// A body is untrusted, and a few bytes may decode to gigabytes. So no size is believed before it is compared with the
// limit, which is in proportion to the body, and memory is taken only for what is plausible:
//   - snappy: the declared size, which must be within the limit and at most 32 times the body;
//   - zstd with declared sizes: their sum over all frames, which must be within the limit;
//   - zstd without: the limit and one byte more, which shows that the body is too large. Only what is written becomes
//     resident (base/block.h). A stream of pieces would need less room, but also zstd's window, of up to 128 MiB.
// The other codec is tried only after kInvalid. A body that is too large is not decoded a second time.
Result<std::string_view> Decompressor::Decode(Compression named, std::string_view body, uint64_t max_decoded_bytes) {
  if (body.empty()) return Fail(Errc::kInvalid, "the body is empty");
  // As base/restart.h: a huge buffer is kept only while bodies need it.
  if (buffer_.capacity() > kHugeBytes && last_size_ < buffer_.capacity() / 8) buffer_ = Block();
  const bool snappy_first = named == Compression::kSnappy;
  const uint64_t bytes = LimitOf(body, max_decoded_bytes);
  const Limit limit{bytes, max_decoded_bytes,
                    bytes == max_decoded_bytes ? "receive.max_decoded_bytes" : "fixed: 1000 times the body"};
  auto decoded = snappy_first ? DecodeSnappy(body, limit) : DecodeZstd(body, limit);
  if (!decoded && decoded.error().code() == Errc::kInvalid) {
    auto other = snappy_first ? DecodeZstd(body, limit) : DecodeSnappy(body, limit);
    if (other) decoded = other;
  }
  last_size_ = decoded ? decoded->size() : 0;
  return decoded;
}

Result<std::string_view> Decompressor::DecodeSnappy(std::string_view body, const Limit& limit) {
  const std::optional<uint32_t> declared = SnappySize(body);
  if (!declared) return Fail(Errc::kInvalid, "the body is not snappy: no length");
  const size_t size = *declared;
  if (size > limit.bytes) return TooLarge("", size, limit);
  // Three bytes decode to at most 64, so a larger declared size is wrong: nothing is allocated for it.
  if (size / 32 > body.size()) return Fail(Errc::kInvalid, "the body is not snappy: shorter than its declared length");
  char* out = Reserve(size + kSnappySlack);
  if (!UncompressSnappy(body, out)) return Fail(Errc::kInvalid, "the body is not snappy in block format");
  return std::string_view(out, size);
}

Result<std::string_view> Decompressor::DecodeZstd(std::string_view body, const Limit& limit) {
  const unsigned long long size = DeclaredZstdSize(body, limit.bytes);
  if (size == ZSTD_CONTENTSIZE_ERROR) return Fail(Errc::kInvalid, "the body is not zstd");
  if (!zstd_) zstd_ = MakeZstdDecoder();
  const bool is_declared = size != ZSTD_CONTENTSIZE_UNKNOWN;
  if (is_declared && size > limit.bytes) return TooLarge("", size, limit);
  const size_t room = is_declared ? size : limit.bytes + 1;
  char* out = Reserve(room);
  const size_t written = ZSTD_decompressDCtx(zstd_.get(), out, room, body.data(), body.size());
  const bool is_full = ZSTD_getErrorCode(written) == ZSTD_error_dstSize_tooSmall || written == limit.bytes + 1;
  if (!is_declared && is_full) return TooLarge("more than ", limit.bytes, limit);
  if (ZSTD_isError(written)) {
    return Fail(Errc::kInvalid, format("the body is not zstd: {}", ZSTD_getErrorName(written)));
  }
  return std::string_view(out, written);
}

// At least `size` bytes. The old buffer goes first: both together may be more than what the caller may use.
char* Decompressor::Reserve(size_t size) {
  if (size > buffer_.capacity() || buffer_.data() == nullptr) {
    buffer_ = Block();
    buffer_ = Block(std::max<size_t>(size, 4096));
  }
  return buffer_.data();
}

}  // namespace mi::codec
