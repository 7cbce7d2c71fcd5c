#include "web/cors.h"

namespace mi::web {
namespace {

std::string AllowedOrigin(const Cors& cors, std::string_view origin) {
  for (const auto& [name, value] : cors.HeadersFor(origin)) {
    if (name == "Access-Control-Allow-Origin") return value;
  }
  return "";
}

TEST(Cors, NamesTheOriginsThatMatchAsAWhole) {
  EXPECT_TRUE(Cors().HeadersFor("http://a").empty());
  EXPECT_TRUE(Cors::Create("").value().HeadersFor("http://a").empty());
  EXPECT_EQ(AllowedOrigin(Cors::Create(".*").value(), "http://a"), "*");
  const Cors cors = Cors::Create(R"(https?://[a-z]+\.example\.com)").value();
  EXPECT_EQ(AllowedOrigin(cors, "http://a.example.com"), "http://a.example.com");
  EXPECT_EQ(AllowedOrigin(cors, "http://a.example.com.evil.net"), "");
  EXPECT_EQ(AllowedOrigin(cors, "\xff"), "");
  EXPECT_TRUE(cors.HeadersFor("").empty());
  EXPECT_FALSE(cors.HeadersFor("http://evil.net").empty());  // caches must know that the answer depends on the origin
}

TEST(Cors, RefusesWhatIsNoRegularExpression) { EXPECT_EQ(Cors::Create("(").error().code(), Errc::kInvalid); }

}  // namespace
}  // namespace mi::web
