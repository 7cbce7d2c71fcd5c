#include "query/series_reader.h"

#include "query/testing/fake_snapshot.h"

namespace mi::query {
namespace {

std::vector<uint64_t> Ids(SeriesReader& reader) {
  std::vector<uint64_t> ids;
  while (const catalog::SeriesView* series = reader.Next()) ids.push_back(series->id);
  return ids;
}

TEST(SeriesReader, ReturnsEverySeriesOfTheSetInOrder) {
  auto fleet = std::make_shared<FakeSnapshot>();
  for (int i = 0; i < 5; ++i) fleet->Add({{"__name__", "up"}, {"i", std::to_string(i)}});
  catalog::SeriesSet set;
  for (const catalog::Ordinal ordinal : {4U, 0U, 3U}) set.Add(ordinal);
  SeriesReader reader(fleet, set, 0);
  EXPECT_THAT(Ids(reader), testing::ElementsAre(1, 4, 5));
  EXPECT_FALSE(reader.cut());
  EXPECT_EQ(reader.Next(), nullptr);
}

TEST(SeriesReader, ReportsWhetherTheLimitCutSomethingOff) {
  auto fleet = std::make_shared<FakeSnapshot>();
  for (int i = 0; i < 3; ++i) fleet->Add({{"i", std::to_string(i)}});
  auto f = [&](size_t limit, size_t want, bool cut) {
    SeriesReader reader(fleet, fleet->All(), limit);
    EXPECT_EQ(Ids(reader).size(), want) << limit;
    EXPECT_EQ(reader.cut(), cut) << limit;
  };
  f(0, 3, false);
  f(2, 2, true);
  f(3, 3, false);
  f(4, 3, false);
}

TEST(SeriesReader, MergesEqualLabelSetsOfTenants) {
  auto fleet = std::make_shared<FakeSnapshot>();
  fleet->AddSeries({.tenant = "a", .labels = {{"__name__", "up"}}});
  fleet->AddSeries({.tenant = "b", .labels = {{"__name__", "up"}}});
  fleet->AddSeries({.tenant = "b", .labels = {{"__name__", "down"}}});
  fleet->AddSeries({.tenant = "c", .labels = {{"__name__", "up"}}});
  SeriesReader all(fleet, fleet->All(), 0);
  EXPECT_THAT(Ids(all), testing::ElementsAre(1, 3));
  SeriesReader limited(fleet, fleet->All(), 2);  // two are left, so nothing is cut off
  EXPECT_THAT(Ids(limited), testing::ElementsAre(1, 3));
  EXPECT_FALSE(limited.cut());
  SeriesReader one(fleet, fleet->OfTenant("b"), 0);
  EXPECT_THAT(Ids(one), testing::ElementsAre(2, 3));
}

TEST(SeriesReader, ReadsOrdinalsThatAreFarApart) {
  auto fleet = std::make_shared<FakeSnapshot>();
  for (int i = 0; i < 200'000; ++i) fleet->Add({{"a", "x"}});
  catalog::SeriesSet set;
  for (const catalog::Ordinal ordinal : {0U, 65'535U, 65'536U, 199'999U}) set.Add(ordinal);
  SeriesReader reader(fleet, set, 0);
  EXPECT_THAT(Ids(reader), testing::ElementsAre(1, 65'536, 65'537, 200'000));
}

}  // namespace
}  // namespace mi::query
