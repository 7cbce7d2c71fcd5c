#include "query/selector.h"

#include "base/format.h"

namespace mi::query {
namespace {

// A selector as canonical text: name, operator and value of each matcher.
std::string Write(const Selector& selector) {
  std::string text;
  for (const Matcher& matcher : selector.matchers) {
    if (!text.empty()) text += ' ';
    text += format("{}{}<{}>", matcher.name(), ToString(matcher.op()), matcher.value());
  }
  return text;
}

void Parses(std::string_view in, std::string_view want) {
  const auto selector = ParseSelector(in);
  ASSERT_TRUE(selector) << in << ": " << selector.error().message;
  EXPECT_EQ(Write(*selector), want) << in;
}

void Refuses(std::string_view in, std::string_view message) {
  const auto selector = ParseSelector(in);
  ASSERT_FALSE(selector) << in;
  EXPECT_EQ(selector.error().message, message) << in;
}

TEST(SelectorParser, ReadsNamesAndMatchers) {
  Parses("up", "__name__=<up>");
  Parses("up{}", "__name__=<up>");
  Parses("job:up:sum", "__name__=<job:up:sum>");
  Parses(R"(up{a="x",b!="y",c=~"re",d!~"re",})", "a=<x> b!=<y> c=~<re> d!~<re> __name__=<up>");
  Parses(R"({__name__="up"})", "__name__=<up>");
  Parses(R"(up{__name__="down"})", "__name__=<down> __name__=<up>");
  Parses("{a='x'}", "a=<x>");
  Parses("{a=`x\\n\"`}", "a=<x\\n\">");
}

TEST(SelectorParser, ReadsQuotedUtf8Names) {
  Parses(R"({"my.metric"})", "__name__=<my.metric>");
  Parses(R"({"my.metric", "a.b"="1", c='2'})", "__name__=<my.metric> a.b=<1> c=<2>");
  Parses(R"(up{'平台'=~"团.*"})", "平台=~<团.*> __name__=<up>");
  Parses(R"({"quoted \"name\""!=""})", R"(quoted "name"!=<>)");
}

TEST(SelectorParser, AcceptsKeywordsAsNamesWherePrometheusDoes) {
  for (const std::string_view name : {"sum", "by", "without", "offset", "and", "start", "quantile", "TOPK", "fill"}) {
    Parses(name, format("__name__=<{}>", name));
  }
  Parses(R"(up{on="x",bool="y",inf="z"})", "on=<x> bool=<y> inf=<z> __name__=<up>");
  Refuses("on", "1:1: parse error: unexpected <on>");
  Refuses("group_left{}", "1:1: parse error: unexpected <group_left>");
  Refuses("ATAN2", "1:1: parse error: unexpected <op:ATAN2>");
  Refuses("Inf", R"(1:1: parse error: unexpected number "Inf")");
}

TEST(SelectorParser, SkipsBlanksAndComments) {
  Parses(" \t\r\nup # the targets\n { # which\n a = # what\n \"x\" \n } # done", "a=<x> __name__=<up>");
}

TEST(SelectorParser, ResolvesEscapesInBothKindsOfQuotesButNotInRawStrings) {
  auto f = [](std::string_view quoted, std::string_view want) {
    const auto selector = ParseSelector(format("{{a!=\"\",b={}}}", quoted));
    ASSERT_TRUE(selector) << quoted << ": " << selector.error().message;
    EXPECT_EQ(selector->matchers[1].value(), want) << quoted;
  };
  f(R"("\a\b\f\n\r\t\v\\\"")", "\a\b\f\n\r\t\v\\\"");
  f(R"('\'')", "'");
  f(R"('"')", "\"");
  f(R"("\x41\101\u00e9\U0001F600")", "AAé\xf0\x9f\x98\x80");
  f(R"("\xe9")", "\xe9");
  f(R"("\u20ac\u07ff\u0041")", "€߿A");
  f("`\\x41\n`", "\\x41\n");
  f("\"\xef\xbf\xbd\"", "\xef\xbf\xbd");  // U+FFFD itself is a character like any other
}

TEST(SelectorParser, RejectsWithThePositionOfTheFault) {
  auto f = [](std::string_view in, size_t at) { EXPECT_EQ(ParseSelector(in).error().offset, at) << in; };
  f("{", 1);
  f("{a=}", 3);
  f("{a=\"b\"", 6);
  f("", 0);
  f("{a=\"b\" c=\"d\"}", 7);
  f("{a=\"b\",,}", 7);
  f("{,}", 1);
  f("{a}", 2);
  f("{a==\"b\"}", 3);
  f("{a!\"b\"}", 2);
  f("{a=b}", 3);
  f("{a=\"b}", 3);
  f("{a=\"b\n\"}", 3);
  f("{a=~\"(\"}", 1);
  f("{1=\"b\"}", 1);
  f("up{a=\"b\"} offset", 10);
  f("up[5m]", 2);
  f("up{a=\"b\"", 8);
  f("\"up\"", 0);
  f("{a=\"\xff\"}", 3);
}

TEST(SelectorParser, UsesPrometheusErrorMessages) {
  Refuses("", "unknown position: parse error: unexpected end of input");
  Refuses("{", "1:2: parse error: unexpected end of input inside braces");
  Refuses("{a=}", R"(1:4: parse error: unexpected "}" in label matching, expected string)");
  Refuses("{a b}",
          R"(1:4: parse error: unexpected identifier "b" in label matching, expected label matching operator)");
  Refuses("{=}", R"(1:2: parse error: unexpected "=" in label matching, expected identifier or "}")");
  Refuses("{a='x' =~}", R"(1:8: parse error: unexpected <op:=~> in label matching, expected "," or "}")");
  Refuses("{a='x'} \"more than ten\"", R"(1:9: parse error: unexpected string "\"more than"...)");
  Refuses("\n\n{a='x'} +", "3:9: parse error: unexpected <op:+>");
  Refuses("{a='x'}\n&", "2:1: parse error: unexpected character: '&'");
  Refuses("up{a='\\q'}", "1:6: parse error: unknown escape sequence U+0071 'q'");
  Refuses("up{a='\\xg0'}", "1:6: parse error: illegal character U+0067 'g' in escape sequence");
  Refuses("up{a='\\x", "1:6: parse error: escape sequence not terminated");
  Refuses("up{a='\\ud800'}", "1:6: parse error: escape sequence is an invalid Unicode code point");
  Refuses("up{a='\\777'}", "1:6: parse error: escape sequence is an invalid Unicode code point");
  Refuses("up{a=`b}", "1:6: parse error: unterminated raw string");
  Refuses("up{{", "1:4: parse error: unexpected left brace '{'");
  Refuses("up)", "1:4: parse error: unexpected right parenthesis ')'");
}

TEST(SelectorParser, RequiresOneMatcherThatDoesNotMatchTheEmptyString) {
  auto f = [](std::string_view in) {
    const auto selector = ParseSelector(in);
    ASSERT_FALSE(selector) << in;
    EXPECT_EQ(selector.error().message, "match[] must contain at least one non-empty matcher");
  };
  f("{}");
  f(R"({a=""})");
  f(R"({a=~".*"})");
  f(R"({a=~"x|"})");
  f(R"({a!="x"})");
  f(R"({a!~".+"})");
  f(R"({""})");
  Parses(R"({a!=""})", "a!=<>");
  Parses(R"({a=~".+"})", "a=~<.+>");
  Parses(R"({a="",b="x"})", "a=<> b=<x>");
}

TEST(SelectorParser, BoundsTheNumberOfMatchers) {
  std::string text = "up{";
  for (size_t i = 0; i < kMaxMatchers; ++i) text += "a='x',";
  EXPECT_TRUE(ParseSelector(text + "}"));
  const auto selector = ParseSelector(text + "a='x'}");
  ASSERT_FALSE(selector);
  EXPECT_EQ(selector.error().message, "a selector has more than 256 matchers");
}

TEST(SelectorParser, BoundsTheProgramsOfARequestTogether) {
  ScanBudget budget{.limit = 10, .max_instructions = 1000};
  EXPECT_TRUE(ParseSelector("{a=~'x{300}'}", &budget));
  EXPECT_TRUE(ParseSelector("{a=~'x{301}',b=~'one|two',c=~'.*'}", &budget));
  const auto third = ParseSelector("{a=~'x{400}'}", &budget);
  ASSERT_FALSE(third);
  EXPECT_THAT(third.error().message,
              testing::MatchesRegex("the regular expressions need 1[0-9]+ instructions together, limit 1000"));
}

}  // namespace
}  // namespace mi::query
