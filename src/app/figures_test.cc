#include "app/figures.h"

namespace mi::app {
namespace {

using testing::HasSubstr;

TEST(Figures, AreReadWhenMetricsAreAndNoMoreOnceTheirSubjectIsGone) {
  const auto metrics = telemetry::Metrics::Create();
  {
    const ManualClock clock;
    const auto seen = dedupe::SeenSet::Create({}, clock);
    const Figures figures = ShowSeenTable(*seen, *metrics);
    seen->Insert(model::Fingerprint{1, 2}, clock.NowMs());
    EXPECT_THAT(metrics->Render(), HasSubstr("metric_index_seen_entries 1\n"));
  }
  EXPECT_THAT(metrics->Render(), HasSubstr("metric_index_seen_entries 1\n")) << "as it was last";
}

}  // namespace
}  // namespace mi::app
