#include "web/content_coding.h"

namespace mi::web {
namespace {

using codec::ContentCoding;

TEST(ContentCoding, IsTheOneThatTheClientPrefers) {
  constexpr auto kIdentity = ContentCoding::kIdentity;
  constexpr auto kGzip = ContentCoding::kGzip;
  constexpr auto kZstd = ContentCoding::kZstd;
  auto f = [](std::string_view accept, ContentCoding want) { EXPECT_EQ(ChooseCoding(accept), want) << accept; };
  f("", kIdentity);
  f("gzip", kGzip);
  f("gzip, deflate, br, zstd", kZstd);  // browsers
  f("zstd;q=0.5, gzip", kGzip);
  f("gzip;q=0.9,zstd;q=0.8, *;q=0.1", kGzip);
  f("GZIP ; Q=1.0", kGzip);
  f("*", kZstd);
  f("*;q=0.5, zstd;q=0", kGzip);
  f("br, deflate", kIdentity);
  f("gzip;q=0", kIdentity);
  f("gzip;q=2, zstd;q=x", kIdentity);
  f("identity", kIdentity);
  f("identity, gzip;q=0.5", kIdentity);
  f("identity;q=0.5, gzip;q=0.5", kGzip);
  f("identity;q=0", kIdentity);  // rather than no answer
  f(",,;=,gzip;q", kIdentity);
}

}  // namespace
}  // namespace mi::web
