#include <random>
#include <string>
#include <tuple>

#include "base/format.h"
#include "model/fingerprint.h"
#include "model/identity.h"
#include "model/identity_fingerprinter.h"
#include "model/labels.h"
#include "model/series_batch.h"
#include "model/tenant.h"
#include "model/testing/plain_identity.h"

namespace mi::model {
namespace {

Labels Make(std::vector<Label> labels) { return Labels::FromUnsorted(labels).value(); }

TEST(Labels, AreSortedByTheBytesOfTheirNamesAndEmptyValuesAreAbsent) {
  const Labels labels = Make({{"job", "api"}, {"__name__", "up"}, {"Zone", "a"}, {"gone", ""}});
  std::vector<std::string> names;
  for (const Label& label : labels.view()) names.emplace_back(label.name);
  EXPECT_EQ(names, (std::vector<std::string>{"Zone", "__name__", "job"}));
  EXPECT_EQ(labels.view().Get("job"), "api");
  EXPECT_EQ(labels.view().Get("gone"), "");
  EXPECT_EQ(labels.view().metric_name(), "up");
  EXPECT_EQ(labels.view().CountLabels(), 3U);
}

TEST(Labels, AreEncodedAsInRemoteWrite) {
  EXPECT_EQ(Make({{"a", "b"}}).canonical(), std::string("\x0a\x06\x0a\x01"
                                                        "a"
                                                        "\x12\x01"
                                                        "b"));
}

TEST(Labels, RefuseEmptyAndRepeatedNames) {
  auto f = [](std::vector<Label> labels) { EXPECT_EQ(Labels::FromUnsorted(labels).error().code(), Errc::kInvalid); };
  f({{"", "x"}});
  f({{"a", "x"}, {"a", "y"}});
  f({{"a", "x"}, {"a", ""}});
}

TEST(Labels, TellTheirShapeWhenTheyAreExamined) {
  using Shape = std::tuple<size_t, size_t, size_t, bool>;
  const auto f = [](std::string_view bytes) {
    const auto shape = ExamineCanonical(bytes).value();
    return Shape(shape.labels, shape.longest_name, shape.longest_value, shape.has_metric_name);
  };
  std::string bytes;
  EXPECT_EQ(f(bytes), Shape(0, 0, 0, false));
  AppendCanonical({"__name__", "up"}, bytes);
  EXPECT_EQ(f(bytes), Shape(1, 8, 2, true));
  AppendCanonical({"a", std::string(200, 'x')}, bytes);
  EXPECT_EQ(f(bytes), Shape(2, 8, 200, true));
  bytes.clear();
  AppendCanonical({"__name_", "up"}, bytes);
  AppendCanonical({"__name___", "up"}, bytes);
  AppendCanonical({"\xff", "up"}, bytes);  // names ascend as unsigned bytes
  EXPECT_EQ(f(bytes), Shape(3, 9, 2, false));
}

TEST(Labels, AreCanonicalOnlyInExactlyOneForm) {
  const std::string good = Make({{"a", "b"}, {"c", std::string(300, 'x')}}).canonical();
  EXPECT_TRUE(IsCanonical(""));
  EXPECT_TRUE(IsCanonical(good));
  for (size_t cut = 1; cut < good.size(); ++cut) {
    const bool between_labels = cut == 8;
    EXPECT_EQ(IsCanonical(std::string_view(good).substr(0, cut)), between_labels) << cut;
  }
  auto f = [](std::string_view bytes) { EXPECT_FALSE(IsCanonical(bytes)); };
  using namespace std::string_view_literals;
  f("\x0a\x07\x0a\x81\x00"
    "a\x12\x01"
    "b"sv);  // padded varint
  f("\x0a\x05\x0a\x01"
    "a\x12\x00"sv);  // empty value
  f("\x0a\x06\x12\x01"
    "b\x0a\x01"
    "a"sv);  // value first
  f("\x0a\x06\x0a\x01"
    "b\x12\x01"
    "b\x0a\x06\x0a\x01"
    "a\x12\x01"
    "b"sv);  // not sorted
}

// The lengths of a label take one byte up to 127.
TEST(LabelsView, ReadsLabelsOfEveryLengthAndNothingOfOneThatIsCut) {
  for (const size_t name : {1, 2, 60, 61, 62, 63, 120, 123, 124, 127, 128, 200}) {
    for (const size_t value : {1, 2, 60, 61, 62, 63, 120, 122, 123, 124, 127, 128, 200}) {
      std::string bytes;
      AppendCanonical({std::string(name, 'n'), std::string(value, 'v')}, bytes);
      ASSERT_TRUE(IsCanonical(bytes)) << name << ' ' << value;
      ASSERT_EQ(LabelsView(bytes).CountLabels(), 1u);
      EXPECT_EQ((*LabelsView(bytes).begin()).name.size(), name);
      EXPECT_EQ((*LabelsView(bytes).begin()).value, std::string(value, 'v'));
      for (size_t cut = 1; cut < bytes.size(); ++cut) {
        const std::vector<char> left(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(cut));
        EXPECT_FALSE(IsCanonical({left.data(), left.size()}));
      }
    }
  }
}

TEST(LabelsView, NeverReadsOutsideBytesThatAreNotCanonical) {
  const std::string good = Make({{"abc", "def"}, {"ghi", "jkl"}}).canonical();
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(0xff);
    EXPECT_LE(LabelsView(bad).CountLabels(), 2U);
  }
}

TEST(Identity, IsFormattedForPeople) {
  auto f = [](std::vector<Label> labels, std::string_view want) {
    EXPECT_EQ(FormatIdentity(Make(labels).view()), want);
  };
  f({{"__name__", "up"}}, "up{}");
  f({{"__name__", "up"}, {"job", "a"}, {"instance", "b:1"}}, R"(up{instance="b:1",job="a"})");
  f({{"a", "1"}}, R"({a="1"})");
  f({}, "{}");
  f({{"__name__", "my.metric"}, {"a", "1"}}, R"({"my.metric",a="1"})");
  f({{"__name__", "my.metric"}}, R"({"my.metric"})");
  f({{"a.b", "1"}}, R"({"a.b"="1"})");
  f({{"__name__", "x:y"}, {"c:d", "1"}}, R"(x:y{"c:d"="1"})");
  f({{"__name__", "q"}, {"v", "a\\b\"c\nd"}}, R"(q{v="a\\b\"c\nd"})");
}

TEST(Identity, IsReadBackWithoutLoss) {
  auto f = [](std::vector<Label> labels) {
    const Labels want = Make(std::move(labels));
    const Result<Labels> got = ParseIdentity(FormatIdentity(want.view()));
    ASSERT_TRUE(got) << got.error().message();
    EXPECT_EQ(*got, want);
  };
  f({});
  f({{"__name__", "up"}});
  f({{"__name__", "a\"b\\c\nd"}, {"\n", "\n"}, {"=", "{}"}, {"平台", "团队"}});
  f({{"a", std::string_view("nul\0inside", 10)}});
  f({{"1digit", "x"}, {"__name__", "1digit"}});
}

TEST(Identity, IsReadWithLabelsInAnyOrderAndWithBlanks) {
  EXPECT_EQ(FormatIdentity(ParseIdentity(R"( up { job = "a" , instance="b", } )")->view()),
            R"(up{instance="b",job="a"})");
  EXPECT_EQ(FormatIdentity(ParseIdentity("up")->view()), "up{}");
}

TEST(Identity, RefusesAndNamesTheByteThatDoesNotFit) {
  auto f = [](std::string_view text, std::string_view where) {
    const Result<Labels> got = ParseIdentity(text);
    ASSERT_FALSE(got) << text;
    EXPECT_TRUE(got.error().message().ends_with(where)) << got.error().message();
  };
  f("", "at byte 0");
  f("up{", "at byte 3");
  f("up{a}", "at byte 4");
  f("up{a=1}", "at byte 5");
  f(R"(up{a="1)", "at byte 7");
  f(R"(up{a="\x"})", "at byte 7");
  f(R"(up{a="1"}x)", "at byte 9");
  f(R"(up{a="1"b="2"})", "at byte 8");
  f(R"({"a","b"})", "occurs twice");
}

TEST(IdentityReader, AgreesWithThePlainParser) {
  using namespace std::string_literals;
  auto f = [](const std::string& text) { EXPECT_TRUE(ReadersAgree(text)) << text; };
  for (const char* text : {"",
                           "{}",
                           "up",
                           "up{",
                           "up{}",
                           "up{}x",
                           "up{} ",
                           " up{}",
                           "1up{}",
                           "job:up:sum{}",
                           "{\"\"}",
                           "{\"\"=\"x\"}",
                           "up{a=\"\"}",
                           "up{a:b=\"1\"}",
                           "up{b=\"1\",a=\"2\"}",
                           "up{a=\"1\",a=\"\"}",
                           "up{__name__=\"down\"}",
                           "{__name__=\"up\"}",
                           "up{__name=\"x\",Zone=\"y\"}",
                           "up{a=\"1\",}",
                           "up{a=\"12345678\\\\\"}",
                           "{\"a\\nb\",\"c\\\"d\"=\"e\\\\f\",g=\"\\n\"}",
                           "{,}",
                           "up{a=\"1\",,}"}) {
    f(text);
  }
  f("up{a=\"a value of more than eight bytes\",b=\"\xc3\xbc\",c=\"\0\"}"s);
}

// Each prefix and many changed bytes of some texts.
TEST(IdentityReader, AgreesWithThePlainParserOnDamagedTexts) {
  using namespace std::string_literals;
  const std::string texts[] = {"up{a=\"1\",b=\"value of some length\",zz=\"3\"}", "{\"a name\",b=\"y\\\\\"}", "m{}"};
  const std::string alphabet = "\"\\\n{}=,: a_1Zn\0\x80\xff"s;
  std::mt19937 random(1);
  for (const std::string& text : texts) {
    for (size_t cut = 0; cut <= text.size(); ++cut) EXPECT_TRUE(ReadersAgree(text.substr(0, cut))) << cut;
    for (int i = 0; i < 20'000; ++i) {
      std::string changed = text;
      for (uint32_t k = 1 + random() % 3; k > 0; --k) {
        changed[random() % changed.size()] = alphabet[random() % alphabet.size()];
      }
      ASSERT_TRUE(ReadersAgree(changed)) << changed;
    }
  }
}

TEST(IdentityReader, ReusesItsBuffers) {
  IdentityReader reader;
  ASSERT_TRUE(reader.Read(R"(up{a="x\ny",b="z\\"})"));
  const auto labels = reader.Read(R"({"m\n",c="\"",b="\\\\"})");
  ASSERT_TRUE(labels);
  EXPECT_EQ(FormatIdentity(Labels::FromUnsorted(*labels)->view()), R"({"m\n",b="\\\\",c="\""})");
  EXPECT_FALSE(reader.Read("up{"));
}

TEST(Fingerprint, IsStoredBigEndianAndReadBack) {
  const Fingerprint fingerprint{.hi = 0x0102030405060708, .lo = 0x090a0b0c0d0e0f10};
  const auto bytes = fingerprint.ToBytes();
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()),
            "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10");
  EXPECT_EQ(Fingerprint::FromBytes({bytes.data(), bytes.size()}), fingerprint);
}

// The vectors of docs/formats/identity.md. To change one means to start a new catalogue.
TEST(Fingerprint, KeepsItsPublishedVectors) {
  const std::string canonical = Make({{"__name__", "up"}, {"job", "api"}}).canonical();
  auto hex = [](Fingerprint f) { return format("{:016x}{:016x}", f.hi, f.lo); };
  EXPECT_EQ(hex(Fingerprinter("", Tenant())(canonical)), "49b159f4de24987febf30f0030a889e9");
  EXPECT_EQ(hex(Fingerprinter("", Tenant::Parse("7:1").value())(canonical)), "8a1ccff71f9d91dc1b717ebfce727129");
  EXPECT_EQ(hex(Fingerprinter("s3cret", Tenant())(canonical)), "58bbf14743b8e80b5ddb6061276de89d");
}

TEST(SecretCheck, DiffersBetweenSecrets) { EXPECT_NE(SecretCheck(""), SecretCheck("s3cret")); }

TEST(Tenant, NormalizesVictoriaMetricsAccountNumbers) {
  auto f = [](std::string_view text, std::string_view want) { EXPECT_EQ(Tenant::Parse(text)->name(), want) << text; };
  f("", "");
  f("0", "");
  f("0:0", "");
  f("1:0", "1");
  f("007", "7");
  f("7:1", "7:1");
  f("team-a.prod_(x)*'!", "team-a.prod_(x)*'!");
}

TEST(Tenant, RefusesInvalidNames) {
  auto f = [](std::string_view text) { EXPECT_EQ(Tenant::Parse(text).error().code(), Errc::kInvalid) << text; };
  f(".");
  f("..");
  f("a/b");
  f("a|b");
  f("1:x");
  f("1:2:3");
  f("4294967296:1");
  f(std::string(151, 'a'));
}

TEST(SeriesBatch, ReturnsTheSeriesThatWereAdded) {
  SeriesBatch batch(Tenant(), 42);
  const Labels up = Make({{"__name__", "up"}});
  const Labels down = Make({{"__name__", "down"}});
  batch.Add({1, 2}, up.canonical());
  batch.Add({3, 4}, down.canonical());
  ASSERT_EQ(batch.size(), 2U);
  EXPECT_EQ(batch[0].labels, up.view());
  EXPECT_EQ(batch[1].labels, down.view());
  EXPECT_EQ(batch[1].fingerprint, (Fingerprint{3, 4}));
}

TEST(IdentityFingerprinter, GivesStoredTextsTheFingerprintsOfTheirReceivers) {
  IdentityFingerprinter stored("secret");
  for (const char* tenant : {"", "acme", "", "7:1"}) {
    const Fingerprinter receiver("secret", Tenant::Parse(tenant).value());
    for (const Labels& labels : {Make({{"__name__", "up"}, {"Zone", "a"}, {"job", "a\"b\n"}}), Make({{"a.b", "x"}}),
                                 Make({{"__name__", "a b"}, {"z", "1"}, {"b", "2"}})}) {
      const std::string text = FormatIdentity(labels.view());
      EXPECT_EQ(stored(tenant, text), receiver(labels.canonical())) << text;
    }
  }
}

TEST(IdentityFingerprinter, GivesNothingToWhatIsNoIdentityAndNoTenant) {
  IdentityFingerprinter stored("");
  EXPECT_EQ(stored("", "up{"), std::nullopt);
  EXPECT_EQ(stored("a/b", "up{}"), std::nullopt);
  EXPECT_EQ(stored("0:0", "up{}"), std::nullopt);  // never stored: it is the default tenant
  EXPECT_NE(stored("", "up{}"), std::nullopt);
}

}  // namespace
}  // namespace mi::model
