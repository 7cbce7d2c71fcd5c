#include "catalog/identity_scan.h"

#include <random>

#include "model/identity.h"

namespace mi::catalog {
namespace {

using namespace std::string_literals;

// Whatever the scan accepts, the parser reads the same.
bool ScansLikeTheParser(const std::string& text) {
  std::vector<model::Label> labels;
  if (!ScanIdentity(text, labels)) return false;
  const auto parsed = model::ParseIdentity(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  const auto scanned = model::Labels::FromUnsorted(labels);
  EXPECT_TRUE(scanned.has_value()) << text;
  if (parsed && scanned) {
    EXPECT_EQ(*scanned, *parsed) << text;
  }
  return true;
}

TEST(IdentityScan, ReadsOrdinarySeries) {
  auto f = [](const std::string& text) { EXPECT_TRUE(ScansLikeTheParser(text)) << text; };
  f("{}");
  f("up{}");
  f("job:up:sum{}");
  f("{a=\"1\"}");
  f("up{a=\"1\",b=\"2\"}");
  f("up{a=\"a value of more than eight bytes\",b=\"\xc3\xbc\",c=\"\0\"}"s);
  f("up{a=\"{},=\",b2=\" \"}");
  f("__name__{__name=\"x\"}");
}

TEST(IdentityScan, LeavesTheRestToTheParser) {
  auto f = [](const std::string& text) { EXPECT_FALSE(ScansLikeTheParser(text)) << text; };
  f("");
  f("up");
  f("up{");
  f("up{}x");
  f("up{} ");
  f(" up{}");
  f("1up{}");
  f("{\"my.metric\",a=\"1\"}");
  f("{\"a.b\"=\"1\"}");
  f("up{a=\"1\"");
  f("up{a=\"1\",");
  f("up{a=\"1\",}");
  f("up{a=\"1");
  f("up{a=\"");
  f("up{a=");
  f("up{a");
  f("up{a=\"\"}");
  f("up{a:b=\"1\"}");
  f("up{b=\"1\",a=\"2\"}");
  f("up{a=\"1\",a=\"2\"}");
  f("up{__name__=\"down\"}");
  f("{__name__=\"up\"}");
  f("up{a=\"quote \\\" back \\\\ line \\n\"}");
  f("up{a=\"12345678\\\\\"}");
  f("up{a=\"line\nbreak\"}");
  f("up{a=\"1\" ,b=\"2\"}");
}

// Every cut and every changed byte of some identities: never a different answer, never out of bounds (ASan).
TEST(IdentityScan, AgreesWithTheParserOnWhateverItAccepts) {
  const std::string texts[] = {"up{a=\"1\",b=\"value of some length\",zz=\"3\"}", "{a_long_name=\"x\",b=\"y\"}", "m{}"};
  const std::string alphabet = "\"\\\n{}=,: a_1Z\0\x80\xff"s;
  std::mt19937 random(1);
  for (const std::string& text : texts) {
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      const std::vector<char> exact(text.begin(), text.begin() + static_cast<ptrdiff_t>(cut));
      ScansLikeTheParser(std::string(exact.begin(), exact.end()));
    }
    for (int i = 0; i < 20'000; ++i) {
      std::string changed = text;
      for (uint32_t k = 1 + random() % 3; k > 0; --k)
        changed[random() % changed.size()] = alphabet[random() % alphabet.size()];
      ScansLikeTheParser(changed);
    }
  }
}

}  // namespace
}  // namespace mi::catalog
