#include "store/apply_plan.h"

#include "store/testing/contract_test.h"

namespace mi::store {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

TEST(ApplyPlan, HasEachIdentityOnceSortedWithItsTimesMerged) {
  const LabelPairs up = {{"__name__", "up"}};
  const LabelPairs down = {{"__name__", "down"}};
  const model::SeriesBatch batches[] = {MakeBatch("", 500, {up, down, up}), MakeBatch("", 100, {up}),
                                        MakeBatch("", 900, {up})};
  const ApplyPlan plan(batches);
  ASSERT_THAT(plan.series(), SizeIs(2));
  EXPECT_LT(plan.series()[0].fingerprint, plan.series()[1].fingerprint);
  for (const PlannedSeries& series : plan.series()) {
    const bool is_up = plan.LabelsOf(series).metric_name() == "up";
    EXPECT_THAT(series.occurrences, SizeIs(is_up ? 4 : 1));
    EXPECT_EQ(series.first(), (is_up ? Occurrence{0, 0} : Occurrence{0, 1}));
    EXPECT_EQ(series.first_seen_ms, is_up ? 100 : 500);
    EXPECT_EQ(series.last_seen_ms, is_up ? 900 : 500);
  }
}

TEST(ApplyPlan, IsSortedWhateverTheFirstBitsOfTheFingerprints) {
  for (const uint64_t mask : {~uint64_t{0}, uint64_t{0xff}, uint64_t{0}}) {
    model::SeriesBatch batch(model::Tenant(), 1);
    const model::SeriesBatch pods = MakePodBatch("", 1, 300, 1);
    for (size_t i = 0; i < 2 * pods.size(); ++i) {
      const model::Series series = pods[i % pods.size()];
      batch.Add({series.fingerprint.hi & mask, series.fingerprint.lo}, series.labels.canonical());
    }
    const ApplyPlan plan({&batch, 1});
    ASSERT_THAT(plan.series(), SizeIs(pods.size())) << mask;
    EXPECT_TRUE(std::ranges::is_sorted(plan.series(), {}, &PlannedSeries::fingerprint));
    for (const PlannedSeries& series : plan.series()) {
      ASSERT_THAT(series.occurrences, SizeIs(2));
      EXPECT_EQ(series.occurrences[0].index + pods.size(), series.occurrences[1].index);
    }
  }
}

TEST(ApplyPlan, KeepsIdentitiesApartThatShareAFingerprint) {
  const model::SeriesBatch up = MakeBatch("", 1, {{{"__name__", "up"}}});
  const model::SeriesBatch down = MakeBatch("", 2, {{{"__name__", "down"}}});
  model::SeriesBatch forged(model::Tenant(), 3);
  forged.Add(up[0].fingerprint, down[0].labels.canonical());
  forged.Add(up[0].fingerprint, up[0].labels.canonical());
  model::SeriesBatch stolen(MakeTenant("acme"), 4);
  stolen.Add(up[0].fingerprint, up[0].labels.canonical());
  const model::SeriesBatch batches[] = {up, forged, stolen, forged};
  const ApplyPlan plan(batches);
  ASSERT_THAT(plan.series(), SizeIs(3));
  EXPECT_THAT(plan.series()[0].occurrences, ElementsAre(Occurrence{0, 0}, Occurrence{1, 1}, Occurrence{3, 1}));
  EXPECT_THAT(plan.series()[1].occurrences, ElementsAre(Occurrence{1, 0}, Occurrence{3, 0}));
  EXPECT_THAT(plan.series()[2].occurrences, ElementsAre(Occurrence{2, 0}));
  EXPECT_EQ(plan.TenantOf(plan.series()[2]).name(), "acme");
}

TEST(ApplyPlan, IsEmptyForNothing) {
  const model::SeriesBatch empty;
  EXPECT_THAT(ApplyPlan({}).series(), SizeIs(0));
  EXPECT_THAT(ApplyPlan({&empty, 1}).series(), SizeIs(0));
}

}  // namespace
}  // namespace mi::store
