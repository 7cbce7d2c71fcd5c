#include "codec/stream_compression.h"

#include <zlib.h>
#include <zstd.h>

#include <array>

namespace mi::codec {
namespace {

// What a reader knows of the text after these bytes.
std::string Gunzip(std::string_view bytes) {
  z_stream stream{};
  inflateInit2(&stream, 15 + 16);
  stream.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<unsigned>(bytes.size());
  std::string text;
  std::array<char, 4096> piece;
  int result = Z_OK;
  do {
    stream.next_out = reinterpret_cast<unsigned char*>(piece.data());
    stream.avail_out = piece.size();
    result = inflate(&stream, Z_SYNC_FLUSH);
    text.append(piece.data(), piece.size() - stream.avail_out);
  } while (result == Z_OK && stream.avail_out == 0);
  inflateEnd(&stream);
  return text + (result == Z_STREAM_END ? "<end>" : "");
}

std::string Unzstd(std::string_view bytes) {
  const ZstdDecoder decoder = MakeZstdDecoder();
  ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
  std::string text;
  std::array<char, 4096> piece;
  size_t left = 1;
  size_t wrote = 0;
  do {
    ZSTD_outBuffer output{piece.data(), piece.size(), 0};
    left = ZSTD_decompressStream(decoder.get(), &output, &input);
    text.append(piece.data(), wrote = output.pos);
  } while (left > 0 && (input.pos < input.size || wrote == piece.size()));
  return text + (left == 0 ? "<end>" : "");
}

TEST(StreamCompressor, LetsItsReaderDecodeEachPieceAtOnce) {
  std::string large;
  for (int i = 0; i < 50'000; ++i) large += std::to_string(i * 7919);
  for (const auto& [coding, decode] : {std::pair(ContentCoding::kGzip, &Gunzip), {ContentCoding::kZstd, &Unzstd}}) {
    StreamCompressor compressor(coding);
    std::string bytes;
    std::string text;
    for (const std::string_view piece : {std::string_view("first"), std::string_view(large), std::string_view("x")}) {
      compressor.Append(piece, bytes);
      text += piece;
      EXPECT_TRUE(decode(bytes) == text) << ToString(coding);
    }
    compressor.Finish("", bytes);
    EXPECT_TRUE(decode(bytes) == text + "<end>") << ToString(coding);
    EXPECT_LT(bytes.size(), text.size() * 2 / 3);
  }
}

TEST(StreamCompressor, FinishesAnAnswerOfOnePiece) {
  for (const auto& [coding, decode] : {std::pair(ContentCoding::kGzip, &Gunzip), {ContentCoding::kZstd, &Unzstd}}) {
    for (const std::string_view text : {"", "all of it"}) {
      std::string bytes;
      StreamCompressor(coding).Finish(text, bytes);
      EXPECT_EQ(decode(bytes), std::string(text) + "<end>") << ToString(coding);
    }
  }
}

}  // namespace
}  // namespace mi::codec
