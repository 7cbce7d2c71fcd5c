#include "codec/kafka_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.h"
#include "base/json.h"
#include "model/identity.h"

namespace mi::codec {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

model::Labels LabelsOf(std::vector<model::Label> labels) { return model::Labels::FromUnsorted(labels).value(); }

KafkaRecordText Encode(std::string_view tenant, int64_t seen_at_ms, std::vector<model::Label> labels) {
  KafkaRecordText text;
  EXPECT_TRUE(
      EncodeSeriesRecord(model::Tenant::Parse(tenant).value(), seen_at_ms, LabelsOf(std::move(labels)).view(), text));
  return text;
}

class KafkaRecordTest : public testing::Test {
 protected:
  Result<KafkaRecord> Decode(std::string_view value) { return decoder_.Decode(value, kRecordTime); }
  std::string IdentityOf(std::string_view value) {
    const Result<KafkaRecord> record = Decode(value);
    return record ? model::FormatIdentity(record->labels.view()) : "refused: " + record.error().message();
  }

  static constexpr int64_t kRecordTime = 1'650'000'000'000;
  KafkaRecordDecoder decoder_{""};
};

TEST_F(KafkaRecordTest, MatchesTheDocumentation) {
  const KafkaRecordText plain = Encode("", 1'700'000'000'123, {{"__name__", "up"}, {"job", "api"}});
  EXPECT_EQ(plain.key, R"(up{job="api"})");
  EXPECT_EQ(plain.value, R"({"labels":[{"name":"__name__","value":"up"},{"name":"job","value":"api"}],)"
                         R"("content":"up{job=\"api\"}","ts":1700000000123})");
  const KafkaRecordText tenant = Encode("7:1", 5, {{"__name__", "up"}});
  EXPECT_EQ(tenant.key, "7:1|up{}");
  EXPECT_EQ(tenant.value, R"({"labels":[{"name":"__name__","value":"up"}],"content":"up{}","tenant":"7:1","ts":5})");
}

// What is written must not depend on whether all texts are plain.
std::string ValueTextByText(const std::vector<model::Label>& labels) {
  std::string value = R"({"labels":[)";
  for (const model::Label& label : labels) {
    value += value.ends_with('[') ? R"({"name":)" : R"(,{"name":)";
    AppendJsonString(label.name, value);
    value += R"(,"value":)";
    AppendJsonString(label.value, value);
    value += "}";
  }
  value += R"(],"content":)";
  AppendJsonString(model::FormatIdentity(LabelsOf(labels).view()), value);
  return value + R"(,"ts":5})";
}

TEST_F(KafkaRecordTest, WritesEachCharacterAtEachPlaceAsJson) {
  constexpr size_t kLongest = 17;  // two words and a byte
  std::vector<std::string> characters = {"é", "€", "🙂"};
  for (char c = 0; c >= 0 && c < 127; ++c) characters.emplace_back(1, c);
  characters.emplace_back(1, '\x7f');
  for (const std::string& character : characters) {
    for (size_t size = 0; size <= kLongest; ++size) {
      for (size_t at = 0; at <= size; ++at) {
        const std::string text = std::string(at, 'x') + character + std::string(size - at, 'y');
        const std::vector<model::Label> in_value = {{"__name__", "up"}, {"job", text}, {"pod", "p"}};
        ASSERT_EQ(Encode("", 5, in_value).value, ValueTextByText(in_value));
        const std::vector<model::Label> in_name = {{text, "v"}};
        ASSERT_EQ(Encode("", 5, in_name).value, ValueTextByText(in_name));
      }
    }
  }
}

TEST_F(KafkaRecordTest, RoundTripsEveryLabel) {
  const std::vector<model::Label> labels = {{"__name__", "a b"},
                                            {"quote", "\"\\\n\t\r\b\f"},
                                            {"nul", std::string_view("\0", 1)},
                                            {"utf8", "grüße, 世界 🙂"},
                                            {"<&>", "\x1f\x7f</script>"}};
  const Result<KafkaRecord> record = Decode(Encode("team", 77, labels).value);
  ASSERT_TRUE(record) << record.error().message();
  EXPECT_EQ(record->labels, LabelsOf(labels));
  EXPECT_EQ(record->tenant.name(), "team");
  EXPECT_EQ(record->seen_at_ms, 77);
  EXPECT_EQ(record->fingerprint, model::Fingerprinter("", record->tenant)(record->labels.canonical()));
}

TEST_F(KafkaRecordTest, ReadsRecordsOfTheGoService) {
  // Unsorted labels, the content of another series, no tenant, no time, HTML escapes, a label without a value.
  const Result<KafkaRecord> record =
      Decode(R"({"labels":[{"name":"job","value":"api"},{"name":"__name__","value":"up"},{"name":"z"},)"
             R"({"name":"a","value":"\u003cb\u003e"},{"name":"e","value":""}],"content":"down{}"})");
  ASSERT_TRUE(record) << record.error().message();
  EXPECT_EQ(model::FormatIdentity(record->labels.view()), R"(up{a="<b>",job="api"})");
  EXPECT_EQ(record->seen_at_ms, kRecordTime);
  EXPECT_TRUE(record->tenant.is_default());
  EXPECT_EQ(
      IdentityOf(" {\"labels\" : [ {\"value\":null,\"name\":\"x\"}, {\"value\":\"1\",\"name\":\"a\",\"n\":[]} ] }\n"),
      R"({a="1"})");
}

TEST_F(KafkaRecordTest, ComputesTheFingerprintFromLabelsAndTenant) {
  KafkaRecordDecoder secret("s3cret");
  const auto of = [](KafkaRecordDecoder& decoder, std::string_view tenant) {
    const std::string value = Encode(tenant, 1, {{"__name__", "up"}, {"job", "api"}}).value;
    const auto bytes = decoder.Decode(value, 1)->fingerprint.ToBytes();
    std::string hex;
    for (const char c : bytes) hex += format("{:02x}", static_cast<unsigned char>(c));
    return hex;
  };
  // The vectors of docs/formats/identity.md.
  EXPECT_EQ(of(decoder_, ""), "49b159f4de24987febf30f0030a889e9");
  EXPECT_EQ(of(decoder_, "7:1"), "8a1ccff71f9d91dc1b717ebfce727129");
  EXPECT_EQ(of(secret, ""), "58bbf14743b8e80b5ddb6061276de89d");
}

TEST_F(KafkaRecordTest, ExplainsWhyARecordIsRefused) {
  const auto f = [&](std::string_view value, std::string_view why) { EXPECT_THAT(IdentityOf(value), HasSubstr(why)); };
  f("", "not JSON");
  f(R"({"labels":[)", "not JSON");
  f(std::string_view("{\"labels\":\0[]}", 14), "not JSON");
  f("{\"labels\":[{\"name\":\"a\",\"value\":\"\xff\"}]}", "not JSON");
  f(R"(["labels"])", "not a JSON object");
  f(R"({"content":"up{}"})", "no labels");
  f(R"({"labels":null})", "labels are not a list");
  f(R"({"labels":{"job":"api"}})", "labels are not a list");
  f(R"({"labels":["job"]})", "a label is not an object");
  f(R"({"labels":[]})", "no label with a value");
  f(R"({"labels":[{"name":"job"}]})", "no label with a value");
  f(R"({"labels":[{"value":"api"}]})", "a label has no name");
  f(R"({"labels":[{"name":"","value":"api"}]})", "a label has no name");
  f(R"({"labels":[{"name":7,"value":"api"}]})", "the name of a label is not a text");
  f(R"({"labels":[{"name":"a","value":7}]})", "the value of a label is not a text");
  f(R"({"labels":[{"name":"a","value":"1"},{"name":"a","value":"2"}]})", R"(label name "a" occurs twice)");
  f(R"({"labels":[{"name":"a","value":"1"}],"labels":[]})", "labels occur twice");
  f(R"({"labels":[{"name":"a","value":"1"}],"tenant":"a/b"})", "tenant");
  f(R"({"labels":[{"name":"a","value":"1"}],"tenant":7})", "the tenant is not a text");
  f(R"({"labels":[{"name":"a","value":"\udc00"}]})", "not JSON");
  f(R"({"metadata":{"type":"gauge"}})", "metadata without a family");
  f(R"({"metadata":7})", "metadata is not an object");
}

TEST_F(KafkaRecordTest, EnforcesItsLimits) {
  const std::string long_value(kMaxRecordSeriesBytes, 'x');
  EXPECT_THAT(IdentityOf(R"({"labels":[{"name":"a","value":")" + long_value + R"("}]})"), HasSubstr("limit 1 MiB"));
  KafkaRecordText text;
  const Status encoded = EncodeSeriesRecord({}, 1, LabelsOf({{"a", long_value}}).view(), text);
  ASSERT_FALSE(encoded);
  EXPECT_EQ(encoded.error().code(), Errc::kTooLarge);
  std::string many = R"({"labels":[)";
  for (size_t i = 0; i <= kMaxRecordLabels; ++i)
    many += format(R"({}{{"name":"l{}","value":"1"}})", i == 0 ? "" : ",", i);
  EXPECT_THAT(IdentityOf(many + "]}"), HasSubstr("more than 4096 labels"));
}

TEST_F(KafkaRecordTest, UsesTheRecordTimeIfTheValueHasNone) {
  const auto time_of = [&](std::string_view ts) {
    return Decode(format(R"({{"labels":[{{"name":"a","value":"1"}}],"ts":{}}})", ts))->seen_at_ms;
  };
  EXPECT_EQ(time_of("0"), 0);
  EXPECT_EQ(time_of("1700000000000"), 1'700'000'000'000);
  for (const char* none : {"-1", "1e3", "\"1700000000000\"", "null", "253402300800000", "18446744073709551615"}) {
    EXPECT_EQ(time_of(none), kRecordTime) << none;
  }
}

TEST_F(KafkaRecordTest, UsesAKeyForMetadataThatNoSeriesCanHave) {
  const model::MetricMetadata metadata{.family = "up", .type = "gauge", .help = "says \"up\"\nor not", .unit = "bool"};
  KafkaRecordText text;
  EncodeMetadataRecord(model::Tenant::Parse("team").value(), 9, metadata, text);
  EXPECT_EQ(text.key, "team|# metadata up");
  EXPECT_FALSE(model::ParseIdentity("# metadata up"));
  const Result<KafkaRecord> record = Decode(text.value);
  ASSERT_TRUE(record) << record.error().message();
  EXPECT_EQ(record->metadata, metadata);
  EXPECT_EQ(record->tenant.name(), "team");
  EXPECT_EQ(record->seen_at_ms, 9);
  EXPECT_TRUE(record->labels.view().empty()) << "its labels are only for other readers";
  EXPECT_EQ(Decode(R"({"metadata":{"family":"x","type":"magic"}})")->metadata->type, "unknown");
}

TEST_F(KafkaRecordTest, EncodesActivityAsDocumented) {
  const std::vector<model::Fingerprint> sent = {{0x0102030405060708, 0x090a0b0c0d0e0f10}, {1, 2}};
  const std::string bytes = EncodeActivityRecord(
      {.window_s = 3600, .seen_at_s = 1'700'000'000, .secret_check = 0x1122334455667788, .fingerprints = sent});
  EXPECT_EQ(bytes.substr(0, 37), std::string("\x01\x10\x0e\0\0\0\xf1\x53\x65\0\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11"
                                             "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10",
                                             37));
  std::vector<model::Fingerprint> got;
  const Result<ActivityRecord> record = DecodeActivityRecord(bytes, got);
  ASSERT_TRUE(record) << record.error().message();
  EXPECT_EQ(got, sent);
  EXPECT_EQ(record->window_s, 3600U);
  EXPECT_EQ(record->seen_at_s, 1'700'000'000U);
  EXPECT_EQ(record->secret_check, 0x1122334455667788U);
  EXPECT_FALSE(DecodeActivityRecord(bytes.substr(0, 20), got));
  EXPECT_FALSE(DecodeActivityRecord(bytes.substr(0, 40), got));
  EXPECT_FALSE(DecodeActivityRecord("\x02" + bytes.substr(1), got));
}

}  // namespace
}  // namespace mi::codec
