#include <set>

#include "codec/remote_write.h"
#include "loadgen/report.h"
#include "loadgen/shape.h"
#include "loadgen/traffic.h"

namespace mi::loadgen {
namespace {

TEST(Shape, IsTheSameForTheSameSeedAndNumber) {
  EXPECT_EQ(IdentityOf(Shape::kKubernetes, 7, 123), IdentityOf(Shape::kKubernetes, 7, 123));
  EXPECT_NE(IdentityOf(Shape::kKubernetes, 7, 123), IdentityOf(Shape::kKubernetes, 8, 123));
}

TEST(Shape, GivesEveryNumberASeriesOfItsOwn) {
  for (const Shape shape : {Shape::kNode, Shape::kKubernetes}) {
    std::set<std::string> identities;
    for (uint64_t number = 0; number < 20'000; ++number) identities.insert(IdentityOf(shape, 1, number));
    EXPECT_EQ(identities.size(), 20'000U);
  }
}

TEST(Shape, HasTheLabelsAndLengthsOfRealTraffic) {
  auto f = [](Shape shape, size_t labels, size_t at_least, size_t at_most) {
    const LabelPairs pairs = LabelsOf(shape, 1, 5'000);
    EXPECT_EQ(pairs.size(), labels);
    EXPECT_TRUE(std::ranges::is_sorted(pairs));
    size_t bytes = 0;
    for (const auto& [name, value] : pairs) bytes += name.size() + value.size();
    EXPECT_GE(bytes, at_least);
    EXPECT_LE(bytes, at_most);
  };
  f(Shape::kNode, 6, 80, 120);
  f(Shape::kKubernetes, 12, 370, 470);
}

TEST(Traffic, CoversEverySeriesOnceInValidRequests) {
  for (const codec::Schema schema : {codec::Schema::kV1, codec::Schema::kV2}) {
    const Traffic traffic({.schema = schema, .compression = codec::Compression::kZstd, .series = 250, .batch = 100});
    codec::Decompressor decompressor;
    codec::RequestScan scan;
    const model::LocalHashKey key;
    const model::LocalHasher hasher(key, model::Fingerprinter("", model::Tenant()));
    std::set<model::Fingerprint> keys;
    for (const Request& request : traffic.steady()) {
      const auto decoded = decompressor.Decode(codec::Compression::kZstd, request.body, 1 << 20);
      ASSERT_TRUE(decoded);
      ASSERT_TRUE(scan.Scan(schema, *decoded, hasher));
      EXPECT_EQ(scan.series().size(), request.count);
      keys.insert(scan.keys().begin(), scan.keys().end());
    }
    EXPECT_EQ(traffic.steady().size(), 3U);
    EXPECT_EQ(keys.size(), 250U);
  }
}

TEST(Report, IsJsonThatScriptsCanRead) {
  SendResult result{
      .requests = 3, .series = 30, .seconds = 2, .status = {{204, 2}, {503, 1}}, .latencies_ms = {1, 2, 3}};
  result.acknowledged = {{0, 10}, {10, 5}};
  const std::string json = ToJson({.result = result, .client_cpu_seconds = 0.5});
  EXPECT_TRUE(json.starts_with(R"({"series":30,"requests":3,"seconds":2.000,"status":{"204":2,"503":1},)")) << json;
  EXPECT_TRUE(json.contains(R"("acknowledged":15,"retries":0,"connection_failures":0,"refused":0,"unfinished":0)"))
      << json;
}

}  // namespace
}  // namespace mi::loadgen
