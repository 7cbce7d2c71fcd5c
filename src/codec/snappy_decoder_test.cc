#include "codec/snappy_decoder.h"

#include <snappy.h>

#include <memory>
#include <random>

namespace mi::codec {
namespace {

// The decoded bytes, or nothing if the body is refused. Body and result are in memory of exactly the size that they may
// use, so AddressSanitizer finds every access beyond it.
std::optional<std::string> DecodedBy(SnappyEngine engine, std::string_view body) {
  const auto in = std::make_unique_for_overwrite<char[]>(body.size());
  std::ranges::copy(body, in.get());
  const std::string_view same(in.get(), body.size());
  const std::optional<uint32_t> size = SnappySize(same);
  if (!size || *size > 1 << 20) return std::nullopt;
  const auto out = std::make_unique_for_overwrite<char[]>(*size + kSnappySlack);
  if (!UncompressSnappy(same, out.get(), engine)) return std::nullopt;
  return std::string(out.get(), *size);
}

std::optional<std::string> Decoded(std::string_view body) {
  const auto decoded = DecodedBy(BestSnappyEngine(), body);
  EXPECT_EQ(DecodedBy(SnappyEngine::kPortable, body), decoded) << testing::PrintToString(body);
  return decoded;
}

std::optional<std::string> DecodedByTheReference(std::string_view body) {
  std::string out;
  size_t size = 0;
  if (!snappy::GetUncompressedLength(body.data(), body.size(), &size) || size > 1 << 20) return std::nullopt;
  if (!snappy::Uncompress(body.data(), body.size(), &out)) return std::nullopt;
  return out;
}

void ExpectLikeTheReference(std::string_view body) {
  ASSERT_EQ(Decoded(body), DecodedByTheReference(body)) << testing::PrintToString(body);
}

std::string Compressed(std::string_view raw) {
  std::string out;
  snappy::Compress(raw.data(), raw.size(), &out);
  return out;
}

// Texts with runs, near and far repetitions, and bytes that do not repeat.
std::string MixedText(size_t size, std::mt19937& random) {
  std::string text;
  while (text.size() < size) {
    switch (random() % 4) {
      case 0: text.append(random() % 70, static_cast<char>('a' + random() % 26)); break;
      case 1: {
        const size_t distance = 1 + random() % (text.size() + 1);
        for (size_t i = random() % 90; i > 0 && distance <= text.size(); --i) text += text[text.size() - distance];
        break;
      }
      case 2: text += "pod=\"application-7f9c\",namespace=\"production\""; break;
      default:
        for (size_t i = random() % 80; i > 0; --i) text += static_cast<char>(random());
    }
  }
  return text;
}

TEST(SnappyDecoder, DecodesWhatSnappyCompresses) {
  std::mt19937 random(7);
  for (const size_t size : {0, 1, 15, 16, 59, 60, 61, 64, 65, 100, 255, 257, 4000, 66'000, 200'000}) {
    const std::string raw = MixedText(size, random);
    EXPECT_EQ(Decoded(Compressed(raw)), raw) << size;
  }
}

TEST(SnappyDecoder, DecodesEveryKindOfElement) {
  auto f = [](std::string_view elements, std::string_view raw) {
    const std::string body = std::string(1, static_cast<char>(raw.size())) + std::string(elements);
    EXPECT_EQ(Decoded(body), raw) << testing::PrintToString(elements);
    EXPECT_EQ(DecodedByTheReference(body), raw) << testing::PrintToString(elements);
  };
  using namespace std::string_literals;
  f("", "");
  f("\x04"
    "ab",
    "ab");
  f("\xf0\x01"
    "ab",
    "ab");  // the length in 1 byte
  f("\xf4\x01\x00"
    "ab"s,
    "ab");  // in 2
  f("\xf8\x01\x00\x00"
    "ab"s,
    "ab");  // in 3
  f("\xfc\x01\x00\x00\x00"
    "ab"s,
    "ab");  // in 4
  f("\x04"
    "ab\x01\x02",
    "ababab");  // a copy of 4 bytes from 2 before, with 1 byte of distance
  f("\x04"
    "ab\x06\x02\x00"s,
    "abab");  // of 2 bytes, with 2 bytes of distance
  f("\x04"
    "ab\x07\x02\x00\x00\x00"s,
    "abab");  // with 4 bytes of distance
  f("\x00"
    "a\x1d\x01"s,
    "aaaaaaaaaaaa");  // of 11 bytes from 1 before
}

TEST(SnappyDecoder, RepeatsPatternsOfEveryLength) {
  for (size_t distance = 1; distance <= 70; ++distance) {
    for (size_t length = 1; length <= 64; ++length) {
      std::string raw;
      for (size_t i = 0; i < distance; ++i) raw += static_cast<char>(i + 1);
      std::string elements = "\xf0" + std::string(1, static_cast<char>(distance - 1)) + raw;
      elements += static_cast<char>((length - 1) << 2 | 2);
      elements += static_cast<char>(distance);
      elements += '\0';
      for (size_t i = 0; i < length; ++i) raw += raw[i];
      // Literals behind it, so that the fast loop decodes the copy.
      for (int i = 0; i < 3; ++i) {
        elements += "\x9c" + std::string(40, '.');
        raw += std::string(40, '.');
      }
      std::string body(1, static_cast<char>(raw.size() | 0x80));
      body += static_cast<char>(raw.size() >> 7);
      ASSERT_EQ(Decoded(body + elements), raw) << distance << ' ' << length;
    }
  }
}

TEST(SnappyDecoder, RefusesWhatTheReferenceRefuses) {
  using namespace std::string_literals;
  for (const std::string& body : {""s,
                                  "\x80"s,
                                  "\xff\xff\xff\xff\x0f"s,
                                  "\xff\xff\xff\xff\x10"s,
                                  "\x80\x80\x80\x80\x80\x01"s,
                                  "\x80\x80\x80\x80\x00"s,
                                  "\x00\x00"s,
                                  "\x02\x04"s,
                                  "\x02\x04"
                                  "a"s,
                                  "\x02\x04"
                                  "abc"s,
                                  "\x02\x08"
                                  "abc"s,
                                  "\x03\x04"
                                  "ab"s,
                                  "\x04\x04"
                                  "ab\x06\x00\x00"s,
                                  "\x04\x04"
                                  "ab\x06\x03\x00"s,
                                  "\x04\x04"
                                  "ab\x06\x02"s,
                                  "\x04\x04"
                                  "ab\x07\x02\x00\x00"s,
                                  "\x04\x04"
                                  "ab\x07\x02\x00\x00\x80"s,
                                  "\x05\x04"
                                  "ab\x01"s,
                                  "\x05\x04"
                                  "ab\x01\x02"s,
                                  "\x02\xf0"s,
                                  "\x02\xfc\xff\xff\xff\xff"
                                  "ab"s,
                                  "\x02\xf8\x01\x00"s}) {
    ExpectLikeTheReference(body);
  }
}

TEST(SnappyDecoder, AgreesWithTheReferenceOnBodiesThatAreCutOrChanged) {
  std::mt19937 random(11);
  for (const size_t size : {40, 300, 700}) {
    const std::string good = Compressed(MixedText(size, random));
    for (size_t cut = 0; cut < good.size(); ++cut) ExpectLikeTheReference(std::string_view(good).substr(0, cut));
    for (size_t at = 0; at < good.size(); ++at) {
      for (const unsigned char change : {0x01, 0x02, 0x03, 0x04, 0x20, 0x80, 0xff}) {
        std::string changed = good;
        changed[at] = static_cast<char>(changed[at] ^ change);
        ExpectLikeTheReference(changed);
      }
    }
  }
}

}  // namespace
}  // namespace mi::codec
