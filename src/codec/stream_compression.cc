#include "codec/stream_compression.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cassert>

#include "base/fatal.h"

namespace mi::codec {
namespace {

constexpr int kGzipLevel = 1;
constexpr int kGzipWindow = 15 + 16;  // 32 KiB, with gzip's header
constexpr int kGzipMemory = 8;        // zlib's default: 256 KiB in all
constexpr int kZstdLevel = 1;
constexpr int kZstdWindowLog = 17;  // 128 KiB: the size of a chunk
constexpr size_t kPieceBytes = 16 << 10;

}  // namespace

std::string_view ToString(ContentCoding coding) {
  switch (coding) {
    case ContentCoding::kIdentity: return "identity";
    case ContentCoding::kGzip: return "gzip";
    case ContentCoding::kZstd: return "zstd";
  }
  return "unknown";
}

void StreamCompressor::FreeDeflate::operator()(z_stream_s* stream) const {
  deflateEnd(stream);
  delete stream;
}

StreamCompressor::StreamCompressor(ContentCoding coding) {
  assert(coding != ContentCoding::kIdentity);
  if (coding == ContentCoding::kZstd) {
    zstd_ = MakeZstdEncoder();
    ZSTD_CCtx_setParameter(zstd_.get(), ZSTD_c_compressionLevel, kZstdLevel);
    ZSTD_CCtx_setParameter(zstd_.get(), ZSTD_c_windowLog, kZstdWindowLog);
    return;
  }
  gzip_.reset(new z_stream_s{});
  if (deflateInit2(gzip_.get(), kGzipLevel, Z_DEFLATED, kGzipWindow, kGzipMemory, Z_DEFAULT_STRATEGY) != Z_OK) {
    OutOfMemory();
  }
}

void StreamCompressor::Write(std::string_view text, Ends ends, std::string& out) {
  gzip_ != nullptr ? WriteGzip(text, ends, out) : WriteZstd(text, ends, out);
}

// deflate() has written everything when it leaves room in the piece.
void StreamCompressor::WriteGzip(std::string_view text, Ends ends, std::string& out) {
  std::array<unsigned char, kPieceBytes> piece;
  gzip_->next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(text.data()));
  gzip_->avail_in = static_cast<unsigned>(text.size());
  do {
    gzip_->next_out = piece.data();
    gzip_->avail_out = piece.size();
    deflate(gzip_.get(), ends == Ends::kYes ? Z_FINISH : Z_SYNC_FLUSH);
    out.append(reinterpret_cast<const char*>(piece.data()), piece.size() - gzip_->avail_out);
  } while (gzip_->avail_out == 0);
}

void StreamCompressor::WriteZstd(std::string_view text, Ends ends, std::string& out) {
  std::array<char, kPieceBytes> piece;
  ZSTD_inBuffer input{text.data(), text.size(), 0};
  size_t left = 0;
  do {
    ZSTD_outBuffer output{piece.data(), piece.size(), 0};
    left = ZSTD_compressStream2(zstd_.get(), &output, &input, ends == Ends::kYes ? ZSTD_e_end : ZSTD_e_flush);
    if (ZSTD_isError(left) != 0) OutOfMemory();  // no other error is possible here
    out.append(piece.data(), output.pos);
  } while (left > 0);
}

}  // namespace mi::codec
