#include "store/testing/fake_store.h"

#include "store/testing/contract_test.h"

namespace mi::store {
namespace {

class FakeUnderTest final : public CatalogUnderTest {
 public:
  std::unique_ptr<SeriesStore> OpenStore() override { return catalog_.OpenStore(); }
  std::unique_ptr<CatalogReader> OpenReader() override { return catalog_.OpenReader(); }
  std::vector<std::string> FatalMessages() override { return catalog_.fatal_messages(); }
  void BreakApply() override { catalog_.FailAlways(FakeCall::kApply, Error(Errc::kUnavailable, "broken")); }
  void RepairApply() override { catalog_.Recover(); }
  LabelPairs LabelsOf(uint64_t id) override {
    LabelPairs pairs;
    for (const model::Label label : LabelsView(id)) {
      if (label.name == "env" || label.name == "service" || label.name == model::kMetricName) continue;
      pairs.emplace_back(label.name, label.value);
    }
    return pairs;
  }
  BasicLabelRow BasicLabelOf(uint64_t id) override {
    const model::LabelsView labels = LabelsView(id);
    return {row_.tenant.name(), std::string(labels.Get("env")), std::string(labels.Get("service")),
            std::string(labels.metric_name())};
  }

 private:
  model::LabelsView LabelsView(uint64_t id) {
    row_ = catalog_.rows().at(id);
    return model::LabelsView(row_.canonical);
  }

  FakeCatalog catalog_;
  FakeCatalog::Row row_;
};

INSTANTIATE_TEST_SUITE_P(Fake, StoreContract,
                         testing::Values(ContractCase{"Fake", [] { return std::make_unique<FakeUnderTest>(); }}),
                         CaseName);

TEST(FakeStore, FailsTheCallThatItWasToldTo) {
  FakeCatalog catalog;
  const auto store = catalog.OpenStore();
  catalog.Fail(FakeCall::kApply, 2, Error(Errc::kUnavailable, "gone"));
  const auto batch = MakeBatch("", 1, {{{"__name__", "up"}}});
  EXPECT_TRUE(store->Apply({}, {}));
  EXPECT_TRUE(store->Checkpoint());
  EXPECT_EQ(store->Apply({&batch, 1}, {}).error().message(), "gone");
  EXPECT_TRUE(catalog.rows().empty());
  EXPECT_TRUE(store->Apply({&batch, 1}, {}));
  EXPECT_EQ(catalog.rows().size(), 1u);
  EXPECT_EQ(catalog.calls(FakeCall::kApply), 3);
}

TEST(FakeStore, LosesTheAnswerOfACommit) {
  FakeCatalog catalog;
  const auto store = catalog.OpenStore();
  catalog.Fail(FakeCall::kApply, 1, Error(Errc::kUnavailable, "lost"), FakeOutcome::kApplied);
  const StreamPosition position[] = {{"journal", 0, 7}};
  EXPECT_FALSE(store->Apply({}, position));
  EXPECT_EQ(store->Position("journal", 0).value(), 7);
}

TEST(FakeStore, HoldsCheckpoints) {
  FakeCatalog catalog;
  const auto store = catalog.OpenStore();
  const StreamPosition position[] = {{"journal", 0, 7}};
  catalog.HoldCheckpoints(true);
  ASSERT_TRUE(store->Apply({}, position));
  EXPECT_TRUE(store->Checkpoint().value().empty());
  catalog.HoldCheckpoints(false);
  EXPECT_EQ(store->Checkpoint().value().size(), 1u);
}

}  // namespace
}  // namespace mi::store
