#include "app/options_check.h"

namespace mi::app {
namespace {

std::string FaultOf(std::string_view yaml) {
  const auto loaded = config::LoadFromText(yaml, "a.yml");
  EXPECT_TRUE(loaded) << loaded.error().message();
  const Status checked = CheckOptions(*loaded);
  return checked ? "" : checked.error().message();
}

TEST(OptionsCheck, AsksLibrdkafkaIfTheRoleUsesKafka) {
  const std::string producer =
      "app: {role_type: producer}\n"
      "metric_store: {producer: {hosts: ['a:1']}}\n";
  EXPECT_EQ(FaultOf(producer + "librdkafka: {linger.ms: 5}\n"), "");
  EXPECT_THAT(FaultOf(producer + "librdkafka:\n  lingr.ms: 5\n  queue.buffering.max.kbytes: many\n"),
              testing::AllOf(testing::StartsWith("a.yml:4: librdkafka.lingr.ms: "),
                             testing::HasSubstr("\na.yml:5: librdkafka.queue.buffering.max.kbytes: ")));
  EXPECT_EQ(FaultOf("librdkafka: {lingr.ms: 5}\n"), "") << "standalone never asks it";
}

// The HTTP client must accept every URL that the configuration accepts, or the start would fail.
TEST(OptionsCheck, AcceptsEveryUrlThatTheConfigurationAccepts) {
  for (const std::string url : {"http://a", "https://[::1]:1/w?a=@b#c", "http://a?b", "http://a:65535"}) {
    EXPECT_EQ(FaultOf("remote: {send: {url: '" + url + "'}, write: {url: '" + url + "'}}\n"), "") << url;
  }
}

TEST(OptionsCheck, RefusesAnOriginThatIsNoRegularExpression) {
  EXPECT_EQ(FaultOf("web: {cors_origin: 'https?://.*'}\n"), "");
  EXPECT_THAT(FaultOf("web:\n  cors_origin: 'https?://(.*'\n"), testing::StartsWith("a.yml:2: web.cors_origin: "));
}

TEST(OptionsCheck, NamesAUrlThatTheClientRefuses) {
  config::Loaded loaded;
  loaded.config.remote_write[0].url = "http://me:hunter2@host/";
  EXPECT_THAT(CheckOptions(loaded).error().message(),
              testing::AllOf(testing::HasSubstr("remote.write[0].url"), testing::Not(testing::HasSubstr("hunter2"))));
}

}  // namespace
}  // namespace mi::app
