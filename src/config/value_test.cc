#include "config/checks.h"
#include "config/nearest.h"
#include "config/yaml_tree.h"

namespace mi::config {
namespace {

TEST(Checks, AcceptOnlyLegalValues) {
  auto good = [](auto check, std::string_view value) { EXPECT_EQ(check(value), "") << value; };
  auto bad = [](auto check, std::string_view value) { EXPECT_NE(check(value), "") << value; };
  good(HostPort, "kafka-001:9092");
  good(HostPort, "[::1]:9092");
  bad(HostPort, "kafka");
  bad(HostPort, "::1:9092");
  bad(HostPort, ":9092");
  bad(HostPort, "kafka:0");
  bad(HostPort, "kafka:65536");
  bad(HostPort, "kafka:9092x");
  good(ListenAddress, "");
  good(ListenAddress, ":7001");
  good(ListenAddress, "127.0.0.1:0");
  good(ListenAddress, "[::]:7001");
  bad(ListenAddress, "7001");
  bad(ListenAddress, "127.0.0.1");
  good(HttpUrl, "");
  good(HttpUrl, "http://a");
  good(HttpUrl, "https://[::1]");
  good(HttpUrl, "http://[::1]:65535/w?a=@b");
  bad(HttpUrl, "http://me:pw@a/");
  bad(HttpUrl, "http://a:");
  bad(HttpUrl, "http://a:0");
  bad(HttpUrl, "http://a:99999/");
  bad(HttpUrl, "http://a:b:1/");
  bad(HttpUrl, "http://");
  bad(HttpUrl, "http:///path");
  bad(HttpUrl, "http://a b");
  good(TopicName, "metric-index.v1_2");
  bad(TopicName, "..");
  bad(TopicName, std::string(250, 'a'));
}

TEST(Nearest, CountsEdits) {
  auto f = [](std::string_view a, std::string_view b, size_t want) {
    EXPECT_EQ(EditDistance(a, b), want) << a << " " << b;
  };
  f("", "", 0);
  f("", "abc", 3);
  f("port", "port", 0);
  f("prot", "port", 1);
  f("flush", "fulsh", 1);
  f("level", "levels", 1);
  f("abc", "xyz", 3);
}

TEST(Nearest, FindsTheIntendedKey) {
  auto f = [](std::string_view path, std::optional<std::string> want) { EXPECT_EQ(NearestKey(path), want) << path; };
  f("app.prot", "app.port");
  f("recieve", "receive");
  f("mysql.tls.certs", "mysql.tls.cert");
  f("metric_store.cashe", "metric_store.cache");
  f("work_num", "metric_store.consumer.work_num");
  f("remote.write.ulr", "remote.write.url");
  f("nothing_of_the_kind", std::nullopt);
  f(std::string(1000, 'a'), std::nullopt);
}

TEST(YamlTree, KeepsTheLinesOfKeysAndValues) {
  const auto tree = ParseYaml("a:\n  b: 1\n  c:\n    - x\n");
  ASSERT_TRUE(tree.whole);
  const YamlNode& a = tree.root.children.at(0);
  EXPECT_EQ(a.key, "a");
  EXPECT_EQ(a.key_line, 1);
  EXPECT_EQ(a.children.at(0).line, 2);
  EXPECT_EQ(a.children.at(1).children.at(0).text, "x");
  EXPECT_EQ(a.children.at(1).children.at(0).line, 4);
}

TEST(YamlTree, BoundsTheNesting) {
  auto f = [](const std::string& bytes) {
    const auto tree = ParseYaml(bytes);
    ASSERT_FALSE(tree.whole);
    EXPECT_THAT(tree.faults, testing::Not(testing::IsEmpty()));
  };
  f(std::string(100'000, '['));
  f(std::string(100'000, '{'));
  std::string maps;
  for (int i = 0; i < 50'000; ++i) maps += "{a: ";
  f(maps);
  std::string lists;
  for (int i = 0; i < 50'000; ++i) lists += "- ";
  f(lists + "a");
  std::string keys;
  for (int i = 0; i < 50'000; ++i) keys += "? ";
  f(keys + "a");
}

TEST(YamlTree, AcceptsSixteenLevels) {
  auto nested = [](int levels) { return "a: " + std::string(levels, '[') + std::string(levels, ']'); };
  EXPECT_TRUE(ParseYaml(nested(15)).whole);
  const auto tree = ParseYaml(nested(16));
  EXPECT_FALSE(tree.whole);
  EXPECT_EQ(tree.faults.at(0).text, "nested more than 16 deep");
}

TEST(YamlTree, AnUnclosedQuoteIsAFault) {
  auto f = [](std::string_view bytes, bool closed) { EXPECT_EQ(ParseYaml(bytes).faults.empty(), closed) << bytes; };
  f("a: \"open\n", false);
  f("a: 'open\n", false);
  f("a: 'it''s open\n", false);
  f("\xEF\xBB\xBF\xC3\xA9: \"\xE2\x82\xAC\n", false);
  f("a: \"open \\\"\n", false);
  f("a: \"x\ny\"\r\nb: 'it''s'\n\xC3\xA9: \"\xE2\x82\xAC\"\nc: [\"\", '']\n", true);
  f("\xEF\xBB\xBF\xC3\xA9: \"\xE2\x82\xAC\"\n", true);
}

TEST(YamlTree, AByteOrderMarkIsNoPartOfTheFirstKey) {
  const auto tree = ParseYaml(
      "\xEF\xBB\xBF"
      "a: 1\n");
  ASSERT_TRUE(tree.whole);
  EXPECT_EQ(tree.root.children.at(0).key, "a");
}

}  // namespace
}  // namespace mi::config
