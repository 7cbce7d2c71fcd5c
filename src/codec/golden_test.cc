// Requests of real senders, with the identities that the senders' own decoder finds in them (tests/golden/README.md).
#include <fstream>
#include <iterator>
#include <set>
#include <tuple>

#include "codec/compression.h"
#include "codec/testing/plain_remote_write.h"
#include "model/identity.h"

namespace mi::codec {
namespace {

const model::LocalHashKey kGoldenKey;
const model::LocalHasher kGoldenHasher(kGoldenKey, model::Fingerprinter("", {}));

struct Golden {
  std::string folder;
  std::string number;
  Compression compression;
  Schema schema;
  size_t series;
  uint64_t samples;
  uint64_t histograms;
  size_t metadata;
};

std::ostream& operator<<(std::ostream& out, const Golden& golden) {
  return out << golden.folder << "/" << golden.number;
}

const Golden kGolden[] = {
    {"prometheus-3.16-v1", "01", Compression::kSnappy, Schema::kV1, 2000, 1982, 18, 0},
    {"prometheus-3.16-v1", "02", Compression::kSnappy, Schema::kV1, 2000, 1981, 19, 0},
    {"prometheus-3.16-v1", "03", Compression::kSnappy, Schema::kV1, 2000, 1962, 38, 0},
    {"prometheus-3.16-v2", "01", Compression::kSnappy, Schema::kV2, 2000, 1982, 18, 0},
    {"prometheus-3.16-v2", "02", Compression::kSnappy, Schema::kV2, 2000, 1981, 19, 0},
    {"prometheus-3.16-v2", "03", Compression::kSnappy, Schema::kV2, 2000, 1962, 38, 0},
    {"vmagent-1.150-zstd", "01", Compression::kZstd, Schema::kV1, 666, 666, 0, 0},
    {"vmagent-1.150-zstd", "02", Compression::kZstd, Schema::kV1, 0, 0, 0, 251},
    {"vmagent-1.150-zstd", "03", Compression::kZstd, Schema::kV1, 691, 691, 0, 0},
    {"vmagent-1.150-snappy", "01", Compression::kSnappy, Schema::kV1, 0, 0, 0, 251},
    {"vmagent-1.150-snappy", "02", Compression::kSnappy, Schema::kV1, 666, 666, 0, 0},
    {"vmagent-1.150-snappy", "03", Compression::kSnappy, Schema::kV1, 0, 0, 0, 254},
};

std::string Read(const Golden& golden, std::string_view suffix) {
  std::ifstream file(
      std::string(MI_SOURCE_DIR "/tests/golden/") + golden.folder + "/" + golden.number + "." + std::string(suffix),
      std::ios::binary);
  EXPECT_TRUE(file) << golden;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string Decoded(const Golden& golden) {
  Decompressor decompressor;
  return std::string(decompressor.Decode(golden.compression, Read(golden, "body"), 64 << 20).value());
}

class GoldenRequest : public testing::TestWithParam<Golden> {
 protected:
  void Expect(const PlainRequest& request) {
    const Golden& golden = GetParam();
    std::set<std::string> identities;
    uint64_t samples = 0;
    uint64_t histograms = 0;
    for (const PlainSeries& series : request.series) {
      EXPECT_FALSE(series.refused);
      identities.insert(model::FormatIdentity(model::LabelsView(series.canonical)));
      samples += series.samples;
      histograms += series.histograms;
    }
    std::string listed;
    for (const std::string& identity : identities) listed += identity + "\n";
    std::string wanted = Read(golden, "series");
    if (wanted == "\n") wanted.clear();
    EXPECT_EQ(listed, wanted);
    EXPECT_EQ(request.series.size(), golden.series);
    EXPECT_EQ(samples, golden.samples);
    EXPECT_EQ(histograms, golden.histograms);
    EXPECT_EQ(request.refused_items, 0U);
    if (golden.schema == Schema::kV1) {
      EXPECT_EQ(request.metadata.size(), golden.metadata);
    } else {
      EXPECT_FALSE(request.metadata.empty());
    }
  }
};

TEST_P(GoldenRequest, HasItsIdentitiesAndCountsOnTheFastPath) {
  FastPath path;
  const auto request = DecodeFast(GetParam().schema, Decoded(GetParam()), {}, kGoldenHasher, path);
  ASSERT_TRUE(request) << request.error().message();
  Expect(*request);
}

TEST_P(GoldenRequest, HasItsIdentitiesAndCountsOnThePlainPath) {
  const auto request = DecodePlain(GetParam().schema, Decoded(GetParam()), {});
  ASSERT_TRUE(request) << request.error().message();
  Expect(*request);
}

TEST_P(GoldenRequest, IsReadTheSameOnBothPaths) {
  EXPECT_EQ(FirstDisagreement(GetParam().schema, Decoded(GetParam()), {}), "");
}

// Each series of a real sender gets a key, so it is known without the slow path when it comes again.
TEST_P(GoldenRequest, HasKeys) {
  const std::string decoded = Decoded(GetParam());
  RequestScan scan;
  ASSERT_TRUE(scan.Scan(GetParam().schema, decoded, kGoldenHasher));
  for (const model::Fingerprint& key : scan.keys()) EXPECT_NE(key, model::Fingerprint());
}

// A body that is truncated anywhere is refused, or contains fewer series.
TEST_P(GoldenRequest, IsSafeToTruncateAnywhere) {
  const std::string decoded = Decoded(GetParam());
  RequestScan scan;
  for (size_t cut = 0; cut < decoded.size(); cut += 1 + decoded.size() / 97) {
    const std::string piece = decoded.substr(0, cut);  // its own memory, so that a sanitizer sees the end
    const bool read = scan.Scan(GetParam().schema, piece, kGoldenHasher).has_value();
    EXPECT_LE(read ? scan.series().size() : 0, GetParam().series);
    EXPECT_EQ(FirstDisagreement(GetParam().schema, piece, {}), "");
  }
}

INSTANTIATE_TEST_SUITE_P(Senders, GoldenRequest, testing::ValuesIn(kGolden), [](const auto& golden) {
  std::string name = golden.param.folder + "_" + golden.param.number;
  std::ranges::replace_if(name, [](char c) { return c == '.' || c == '-'; }, '_');
  return name;
});

TEST(GoldenRequests, HaveTheSameIdentityInBothSchemas) {
  FastPath path;
  const auto v1 = DecodeFast(Schema::kV1, Decoded(kGolden[0]), {}, kGoldenHasher, path);
  const auto v2 = DecodeFast(Schema::kV2, Decoded(kGolden[3]), {}, kGoldenHasher, path);
  ASSERT_TRUE(v1 && v2);
  auto identities = [](const PlainRequest& request) {
    std::set<std::string> all;
    for (const PlainSeries& series : request.series) all.insert(series.canonical);
    return all;
  };
  EXPECT_EQ(identities(*v1), identities(*v2));
}

// 2.0 says metadata by series (here: Prometheus), 1.0 by family (here: vmagent). Both senders scraped a
// Prometheus; the 26 further families are of metrics that vmagent's request does not have.
TEST(GoldenRequests, HaveTheSameMetadataFamiliesInBothSchemas) {
  const auto texts_of = [](const Golden& golden) {
    FastPath path;
    const auto request = DecodeFast(golden.schema, Decoded(golden), {}, kGoldenHasher, path);
    std::set<std::tuple<std::string, std::string, std::string>> texts;
    for (const model::MetricMetadata& said : request.value().metadata) texts.emplace(said.family, said.type, said.help);
    return texts;
  };
  const auto by_series = texts_of(kGolden[3]);
  const auto by_family = texts_of(kGolden[9]);
  EXPECT_EQ(by_family.size(), 251);
  EXPECT_EQ(by_series.size(), 251 + 26);
  EXPECT_TRUE(std::ranges::includes(by_series, by_family));
}

}  // namespace
}  // namespace mi::codec
