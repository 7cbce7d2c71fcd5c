#include "query/regex.h"

namespace mi::query {
namespace {

bool Match(std::string_view pattern, std::string_view text) {
  const Result<Regex> fast = Regex::Compile(pattern);
  const Result<Regex> plain = Regex::Compile(pattern, Regex::ShortCuts::kNotTaken);
  EXPECT_TRUE(fast && plain) << pattern;
  EXPECT_EQ(fast->Matches(text), plain->Matches(text)) << pattern << " on " << text;
  return plain->Matches(text);
}

TEST(Regex, MatchesTheWholeValue) {
  EXPECT_TRUE(Match("a.c", "abc"));
  EXPECT_FALSE(Match("a.c", "xabc"));
  EXPECT_FALSE(Match("a.c", "abcx"));
  EXPECT_FALSE(Match("a|b", "ab"));
  EXPECT_FALSE(Match("ab|c", "abc"));
  EXPECT_TRUE(Match("a|b|", ""));
}

TEST(Regex, MatchesALineBreakWithTheDot) {
  EXPECT_TRUE(Match("a.b", "a\nb"));
  EXPECT_TRUE(Match("a.*", "a\nb"));
  EXPECT_TRUE(Match(".+", "\n"));
  EXPECT_FALSE(Match("a$", "a\n"));
}

TEST(Regex, DecidesTheSameWithShortCuts) {
  for (const std::string_view pattern :
       {"",        "a",     "abc",   "a|b|abc",     "(a|b)",   "()",        "|",       "a.*",    "a.+",
        ".*",      ".+",    "a\\.b", "a\\.b|c\\-d", "(a\\|b)", "\\(a|b\\)", "(a)|(b)", "(a|b)c", "a.*b",
        "abc.*.*", "(?i)a", "\\d",   "a\\",         "平|台",   "平.*",      "[a]",     "a{2}"}) {
    for (const std::string_view text : {"",    "a",  "b",  "c", "abc", "ab", "abcabc", "a.b", "axb", "c-d",
                                        "a|b", "(a", "b)", "A", "1",   "平", "平台",   "aa",  "a\n", "a\\"}) {
      if (Regex::Compile(pattern)) Match(pattern, text);
    }
  }
}

TEST(Regex, KnowsTheValuesOfAnAlternationOfLiterals) {
  auto f = [](std::string_view pattern, std::vector<std::string> want) {
    const Result<Regex> regex = Regex::Compile(pattern);
    ASSERT_TRUE(regex && regex->literals()) << pattern;
    EXPECT_EQ(*regex->literals(), want) << pattern;
  };
  f("b|a|b", {"a", "b"});
  f("(node-1|node-2)", {"node-1", "node-2"});
  f(R"(10\.0\.0\.1:9100|10\.0\.0\.2:9100)", {"10.0.0.1:9100", "10.0.0.2:9100"});
  f("", {""});
  for (const std::string_view pattern : {"a.b", "a+", "(a)|(b)", "a[b]", "^a$", "\\d", "(?i)a"}) {
    EXPECT_EQ(Regex::Compile(pattern)->literals(), nullptr) << pattern;
  }
}

TEST(Regex, RefusesInvalidAndTooLargeExpressions) {
  for (const std::string_view pattern :
       {"(", "a)", "a)(b", "[a", "*", "a**", "\\q", "a{2,1}", "a{1001}", "(?z)", "\xff", "(((a{100}){100}){100})"}) {
    const Result<Regex> regex = Regex::Compile(pattern);
    ASSERT_FALSE(regex) << pattern;
    EXPECT_EQ(regex.error().code(), Errc::kInvalid);
    EXPECT_FALSE(regex.error().message().empty());
  }
}

TEST(Regex, RefusesProgramsThatAreTooLargeAndNamesTheLimit) {
  const Result<Regex> greek = Regex::Compile(R"(\p{Greek}{500})");
  ASSERT_FALSE(greek);
  EXPECT_EQ(greek.error().message(), "the expression needs 31004 instructions, limit 20000");
  std::string hosts = "(host-0";
  for (int i = 1; i < 2000; ++i) hosts += "|host-" + std::to_string(i * 7919);
  const Result<Regex> many = Regex::Compile(hosts + "):.*");
  ASSERT_TRUE(many) << many.error().message();
  EXPECT_TRUE(many->Matches("host-7919:9100"));
  EXPECT_GT(many->instructions(), 2000);
}

}  // namespace
}  // namespace mi::query
