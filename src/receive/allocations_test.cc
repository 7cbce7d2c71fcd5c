// Known series cost no allocation. The sanitizers' runtimes call a hook for each one; builds without them skip this.
#if defined(MI_SANITIZES_ADDRESS) || defined(MI_SANITIZES_THREAD)
#define MI_COUNTS_ALLOCATIONS
#include <sanitizer/allocator_interface.h>
#endif

#include "base/format.h"
#include "codec/compression.h"
#include "codec/testing/request_encoder.h"
#include "receive/intake.h"
#include "stream/testing/fake_stream.h"

namespace mi::receive {
namespace {

using codec::Compression;
using codec::Schema;

[[maybe_unused]] thread_local uint64_t allocations = 0;

struct Sender {
  Schema schema;
  Compression compression;
  bool sorted;
};

class Allocations : public testing::TestWithParam<Sender> {};

[[maybe_unused]] std::string BodyOf(const Sender& sender) {
  codec::RequestEncoder encoder(sender.schema);
  for (int i = 0; i < 500; ++i) {
    codec::WireSeries series{.labels = {{"__name__", "up"}, {"instance", format("{}", i)}, {"job", "api"}},
                             .samples = {{1.5, 1'700'000'000'000}},
                             .metadata = model::MetricMetadata{"", "gauge", "Help.", ""}};
    if (!sender.sorted) std::swap(series.labels[0], series.labels[2]);
    encoder.Add(series);
  }
  return codec::Compress(sender.compression, encoder.Finish());
}

TEST_P(Allocations, KnownSeriesCostNone) {
#ifndef MI_COUNTS_ALLOCATIONS
  GTEST_SKIP() << "only sanitizers count allocations";
#else
  static const bool hooked =
      __sanitizer_install_malloc_and_free_hooks([](const volatile void*, size_t) { ++allocations; },
                                                [](const volatile void*) { /* frees are not counted */ }) != 0;
  ASSERT_TRUE(hooked);
  const std::string body = BodyOf(GetParam());
  ManualClock clock;
  telemetry::Metrics registry;
  ReceiveMetrics metrics(registry);
  dedupe::SeenSet seen({}, clock);
  dedupe::SeenSet seen_metadata({}, clock);
  stream::FakeActivity activity;
  const model::Tenant tenant;
  const model::Fingerprinter fingerprinter("", tenant);
  const model::LocalHasher hasher(seen.alias_key(), fingerprinter);
  codec::Decompressor decompressor;
  codec::RequestScan scan;
  MemoryBudget budget{1 << 30};
  Intake intake({seen, seen_metadata, activity, clock, metrics});
  const auto receive = [&] {
    const auto decoded = decompressor.Decode(GetParam().compression, body, 1 << 20);
    ASSERT_TRUE(decoded && scan.Scan(GetParam().schema, *decoded, hasher, {.depth = codec::Depth::kKeysFirst}));
    MemoryHold memory(budget);
    const Intake::Sorted sorted = intake.Sort(scan, tenant, fingerprinter, {}, memory);
    seen.Insert(sorted.fresh.fingerprints);
    seen_metadata.Insert(sorted.fresh.metadata_keys);
  };
  for (int i = 0; i < 3; ++i) receive();  // new, then known by their fingerprints, then by their aliases
  EXPECT_GT(allocations, 0U) << "the hook counts";
  const uint64_t before = allocations;
  receive();
  EXPECT_EQ(allocations - before, 0U);
#endif
}

INSTANTIATE_TEST_SUITE_P(Senders, Allocations,
                         testing::Values(Sender{Schema::kV1, Compression::kSnappy, true},
                                         Sender{Schema::kV1, Compression::kZstd, true},
                                         Sender{Schema::kV2, Compression::kSnappy, true},
                                         Sender{Schema::kV1, Compression::kSnappy, false}));

}  // namespace
}  // namespace mi::receive
