#include "codec/compression.h"
#include "codec/testing/request_encoder.h"

#include <zstd.h>

namespace mi::codec {
namespace {

using testing::HasSubstr;

constexpr uint64_t kLimit = 1 << 20;
const std::string kText = "a series of bytes that repeats, a series of bytes that repeats, a series of bytes";

// A frame without a declared size, as a streaming sender writes it.
std::string ZstdStream(std::string_view raw) {
  std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  std::string out(ZSTD_compressBound(raw.size()) + 64, '\0');
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  ZSTD_inBuffer from{raw.data(), raw.size(), 0};
  while (ZSTD_compressStream2(context.get(), &to, &from, from.pos < from.size ? ZSTD_e_continue : ZSTD_e_end) != 0 ||
         from.pos < from.size) {
  }
  ZSTD_compressStream2(context.get(), &to, &from, ZSTD_e_end);
  out.resize(to.pos);
  return out;
}

class BothCodecs : public testing::TestWithParam<Compression> {
 protected:
  Compression other() const { return GetParam() == Compression::kSnappy ? Compression::kZstd : Compression::kSnappy; }
  Decompressor decompressor_;
};

TEST_P(BothCodecs, RoundTrip) {
  for (const std::string& raw : {std::string(), std::string("x"), kText, std::string(900'000, 'y')}) {
    EXPECT_EQ(decompressor_.Decode(GetParam(), Compress(GetParam(), raw), kLimit), raw);
  }
}

TEST_P(BothCodecs, DecodeAMislabelledBody) {
  EXPECT_EQ(decompressor_.Decode(other(), Compress(GetParam(), kText), kLimit), kText);
}

TEST_P(BothCodecs, RefuseABodyOfNeitherCodec) {
  auto f = [&](std::string_view body) {
    const auto decoded = decompressor_.Decode(GetParam(), body, kLimit);
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error().code(), Errc::kInvalid);
    EXPECT_THAT(decoded.error().message(), HasSubstr(std::string(ToString(GetParam()))));
  };
  f("plain text");
  f(std::string(64, '\xff'));
  const std::string good = Compress(GetParam(), std::string(1000, 'z') + kText);
  for (size_t cut = 1; cut < good.size(); ++cut) f(std::string_view(good).substr(0, cut));
}

TEST_P(BothCodecs, RefuseAnEmptyBody) {
  EXPECT_EQ(decompressor_.Decode(GetParam(), "", kLimit).error().message(), "the body is empty");
}

TEST_P(BothCodecs, RefuseABodyAboveTheLimitAndNameTheOption) {
  const std::string body = Compress(GetParam(), std::string(kLimit + 1, 'x'));
  EXPECT_EQ(decompressor_.Decode(GetParam(), Compress(GetParam(), std::string(kLimit, 'x')), kLimit)->size(), kLimit);
  const auto decoded = decompressor_.Decode(GetParam(), body, kLimit);
  EXPECT_EQ(decoded.error().code(), Errc::kTooLarge);
  EXPECT_THAT(decoded.error().message(), HasSubstr("limit 1 MiB (receive.max_decoded_bytes)"));
}

TEST_P(BothCodecs, ContinueAfterAnError) {
  EXPECT_FALSE(decompressor_.Decode(GetParam(), "plain text", kLimit));
  EXPECT_EQ(decompressor_.Decode(GetParam(), Compress(GetParam(), kText), kLimit), kText);
}

TEST_P(BothCodecs, FreeAHugeBufferAfterManySmallBodies) {
  std::string huge(9 << 20, 'x');
  for (size_t i = 0; i < huge.size(); i += 1000) huge[i] = static_cast<char>(i * 7919 >> 8);
  ASSERT_TRUE(decompressor_.Decode(GetParam(), Compress(GetParam(), huge), 16 << 20));
  const std::string small = Compress(GetParam(), kText);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(decompressor_.Decode(GetParam(), small, kLimit), kText);
  EXPECT_LT(decompressor_.buffer_bytes(), 1U << 20);
}

INSTANTIATE_TEST_SUITE_P(Compression, BothCodecs, testing::Values(Compression::kSnappy, Compression::kZstd),
                         [](const auto& codec) { return std::string(ToString(codec.param)); });

// 5 bytes that declare 4 GiB: refused before memory is allocated.
TEST(Snappy, RefusesADeclaredLengthThatIsImpossible) {
  Decompressor decompressor;
  EXPECT_EQ(decompressor.Decode(Compression::kSnappy, "\xff\xff\xff\xff\x0f", kLimit).error().code(), Errc::kTooLarge);
  EXPECT_EQ(decompressor.Decode(Compression::kSnappy, "\x80\x80\x20zzz", kLimit).error().code(), Errc::kInvalid);
  EXPECT_LT(decompressor.buffer_bytes(), 64U << 10);
}

TEST(Snappy, DecodesTheHighestCompressionRatio) {
  Decompressor decompressor;
  const std::string raw(60'000, 'q');
  EXPECT_EQ(decompressor.Decode(Compression::kSnappy, Compress(Compression::kSnappy, raw), kLimit), raw);
}

TEST(Zstd, DecodesFramesWithoutADeclaredSize) {
  Decompressor decompressor;
  for (const std::string& raw : {std::string(), kText, std::string(700'000, 'y'), std::string(kLimit, 'z')}) {
    EXPECT_EQ(decompressor.Decode(Compression::kZstd, ZstdStream(raw), kLimit), raw);
  }
}

TEST(Zstd, StopsAtTheLimitWithoutADeclaredSize) {
  Decompressor decompressor;
  const auto decoded = decompressor.Decode(Compression::kZstd, ZstdStream(std::string(64 << 20, 'x')), kLimit);
  EXPECT_EQ(decoded.error().code(), Errc::kTooLarge);
  EXPECT_THAT(decoded.error().message(), HasSubstr("more than 1 MiB"));
  EXPECT_LE(decompressor.buffer_bytes(), kLimit + 1);
}

TEST(Zstd, NeedsNoMemoryForTheWindow) {
  const auto f = [](int log, uint64_t limit) {
    Decompressor decompressor;
    EXPECT_EQ(decompressor.Decode(Compression::kZstd, ZstdOfWindow(log, "abc"), limit), "abc") << log << " " << limit;
    EXPECT_LE(decompressor.buffer_bytes(), std::max<size_t>(limit + 1, 4096));
  };
  for (const int log : {10, 21, 23, 24, 27, 30}) {
    f(log, 3);
    f(log, 1 << 20);
    f(log, 64 << 20);
  }
  Decompressor decompressor;
  EXPECT_EQ(decompressor.Decode(Compression::kZstd, ZstdOfWindow(10, "abc"), 0).error().code(), Errc::kTooLarge);
  EXPECT_EQ(decompressor.Decode(Compression::kZstd, ZstdOfWindow(27, "abc"), 2).error().code(), Errc::kTooLarge);
}

// Small bodies may decode to 1 MiB, larger ones to 1000 times their size.
TEST(Zstd, LimitsTheExpansionOfABody) {
  Decompressor decompressor;
  constexpr uint64_t kOption = 64 << 20;
  const auto f = [&](std::string body) {
    const auto decoded = decompressor.Decode(Compression::kZstd, body, kOption);
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error().code(), Errc::kTooLarge);
    EXPECT_THAT(decoded.error().message(), HasSubstr("limit 1 MiB (fixed: 1000 times the body)"));
    EXPECT_LE(decompressor.buffer_bytes(), kAlwaysDecoded + 1);
    EXPECT_LE(DecodedSizeBound(body, kOption), kAlwaysDecoded);
  };
  const std::string zeros(2 << 20, '\0');
  f(Compress(Compression::kZstd, zeros));
  f(ZstdStream(zeros));
  f(Compress(Compression::kZstd, zeros.substr(0, 1 << 20)) + Compress(Compression::kZstd, "x"));
  EXPECT_EQ(decompressor.Decode(Compression::kZstd, ZstdStream(zeros.substr(0, 1 << 20)), kOption)->size(), 1U << 20);
  std::string varied(4 << 20, '\0');
  for (size_t i = 0; i < varied.size(); i += 500) varied[i] = static_cast<char>(i * 7919 >> 8);
  EXPECT_EQ(decompressor.Decode(Compression::kZstd, Compress(Compression::kZstd, varied), kOption), varied);
}

TEST(Compression, KnowsABoundOfTheDecodedSizeInAdvance) {
  const std::string raw(100'000, 'x');
  const std::string snappy = Compress(Compression::kSnappy, raw);
  const std::string zstd = Compress(Compression::kZstd, raw);
  EXPECT_EQ(DecodedSizeBound(snappy, 1 << 20), raw.size());
  EXPECT_EQ(DecodedSizeBound(zstd + zstd, 1 << 20), 2 * raw.size());
  EXPECT_EQ(DecodedSizeBound(ZstdStream(raw), 1 << 20), 1U << 20);
  EXPECT_EQ(DecodedSizeBound(snappy, 99'999), 99'999U);
  EXPECT_EQ(DecodedSizeBound("neither", 1 << 20), uint64_t{'n'});  // snappy of 110 bytes, until it is read
  EXPECT_EQ(DecodedSizeBound("\xff", 1 << 20), 0U);
}

TEST(Zstd, DecodesSeveralFramesAsOneBody) {
  Decompressor decompressor;
  const std::string one = Compress(Compression::kZstd, kText);
  EXPECT_EQ(decompressor.Decode(Compression::kZstd, one + one, kLimit), kText + kText);
  EXPECT_EQ(decompressor.Decode(Compression::kZstd, one + ZstdStream(kText) + one, kLimit), kText + kText + kText);
  const std::string large = Compress(Compression::kZstd, std::string(kLimit / 2 + 1, 'x'));
  EXPECT_EQ(decompressor.Decode(Compression::kZstd, large + large, kLimit).error().code(), Errc::kTooLarge);
}

TEST(Zstd, RefusesATruncatedStream) {
  Decompressor decompressor;
  const std::string stream = ZstdStream(kText);
  for (size_t cut = 1; cut < stream.size(); ++cut) {
    EXPECT_EQ(decompressor.Decode(Compression::kZstd, stream.substr(0, cut), kLimit).error().code(), Errc::kInvalid);
  }
}

}  // namespace
}  // namespace mi::codec
