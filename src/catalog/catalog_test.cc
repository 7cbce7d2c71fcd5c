#include "catalog/catalog.h"

#include <atomic>
#include <thread>

#include "base/format.h"
#include "catalog/testing/naive_catalog.h"
#include "model/identity.h"
#include "store/testing/empty_reader.h"
#include "store/testing/fake_store.h"

namespace mi::catalog {
namespace {

using namespace std::string_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kSeen = 1'700'000'000'000;

// A logger that records its lines.
class Lines final : public telemetry::Logger {
 public:
  bool Enabled(telemetry::Level) const override { return true; }
  void Write(telemetry::Level, std::string_view message) override { lines.emplace_back(message); }

  std::vector<std::string> lines;
};

NaiveSeries Series(uint64_t id, LabelMap labels, std::string tenant = "") {
  return {id, std::move(tenant), std::move(labels), kSeen, kSeen};
}

void AppendTo(Catalog& catalog, std::span<const NaiveSeries> series) {
  Told told;
  for (const NaiveSeries& one : series) told.Add(one);
  catalog.Append(told.batches, told.applied);
}
void AppendTo(Catalog& catalog, std::initializer_list<NaiveSeries> series) {
  AppendTo(catalog, std::span(series.begin(), series.size()));
}

std::vector<LabelMap> ReadAll(const Snapshot& snapshot) {
  std::vector<LabelMap> all;
  SeriesView view;
  for (Ordinal at = 0; at < snapshot.series(); ++at) {
    snapshot.Read(at, view);
    LabelMap& map = all.emplace_back();
    for (const model::Label& label : view.labels) map.emplace(label.name, label.value);
  }
  return all;
}

std::vector<std::string> Families(const Snapshot& snapshot, std::vector<std::string> tenants) {
  std::vector<std::string> families;
  snapshot.ForEachMetadata(tenants, [&](const store::StoredMetadata& entry) {
    families.push_back(entry.tenant.name() + "/" + entry.metadata.family + "/" + entry.metadata.help);
    return true;
  });
  return families;
}

TEST(Catalog, IsEmptyAtFirst) {
  const auto catalog = std::make_unique<Catalog>(CatalogOptions{});
  const auto snapshot = catalog->Current();
  EXPECT_EQ(snapshot->series(), 0);
  EXPECT_TRUE(snapshot->All().empty());
  EXPECT_TRUE(snapshot->WithLabel("__name__").empty());
  EXPECT_TRUE(snapshot->OfTenant("").empty());
  EXPECT_THAT(snapshot->LabelNames(), IsEmpty());
  EXPECT_THAT(snapshot->Tenants(), IsEmpty());
  EXPECT_EQ(snapshot->FindPair("a", "b"), std::nullopt);
  EXPECT_TRUE(snapshot->SeenIn(snapshot->All(), {0, 1}).empty());
  EXPECT_THAT(catalog->SeriesByTenant(10), IsEmpty());
  EXPECT_EQ(catalog->stats().series, 0);
}

TEST(Catalog, ShowsWhatIsAppendedWhenAppendReturns) {
  const auto catalog = std::make_unique<Catalog>(CatalogOptions{});
  const auto before = catalog->Current();
  AppendTo(*catalog, {Series(7, {{"__name__", "up"}, {"job", "a"}})});
  EXPECT_EQ(before->series(), 0);
  EXPECT_EQ(before->FindPair("job", "a"), std::nullopt);
  EXPECT_THAT(ReadAll(*catalog->Current()), ElementsAre(LabelMap{{"__name__", "up"}, {"job", "a"}}));
  EXPECT_EQ(catalog->stats().highest_id, 7);
  EXPECT_EQ(catalog->stats().pairs, 2);
}

TEST(Catalog, AcceptsAnyBytesAndSeriesWithoutLabels) {
  const LabelMap strange = {
      {"a\0b"s, "\0"s}, {"quote\"", "back\\slash"}, {"line\n", "\n"}, {"\xff", "\xfe"}, {" ", " "}};
  const auto appended = std::make_unique<Catalog>(CatalogOptions{});
  AppendTo(*appended, {Series(1, {}), Series(2, strange)});
  EXPECT_THAT(ReadAll(*appended->Current()), ElementsAre(LabelMap{}, strange));

  NaiveCatalog stored;
  stored.series = {Series(1, {}), Series(2, strange)};
  const auto loaded = std::make_unique<Catalog>(CatalogOptions{});
  ASSERT_TRUE(loaded->Load(stored));
  EXPECT_THAT(ReadAll(*loaded->Current()), ElementsAre(LabelMap{}, strange));
  EXPECT_TRUE(loaded->Current()->FindPair("a\0b"s, "\0"s));
  EXPECT_FALSE(loaded->Current()->FindPair("a", "\0"s));
}

TEST(Catalog, SnapshotsOutliveIt) {
  auto catalog = std::make_unique<Catalog>(CatalogOptions{});
  AppendTo(*catalog, {Series(1, {{"a", "b"}})});
  const auto snapshot = catalog->Current();
  catalog.reset();
  EXPECT_THAT(ReadAll(*snapshot), ElementsAre(LabelMap{{"a", "b"}}));
}

TEST(Catalog, IgnoresKnownIds) {
  const auto catalog = std::make_unique<Catalog>(CatalogOptions{});
  NaiveCatalog stored;
  stored.series = {Series(1, {{"a", "1"}}), Series(2, {{"a", "2"}})};
  ASSERT_TRUE(catalog->Load(stored));
  AppendTo(*catalog, {stored.series[1], Series(3, {{"a", "3"}})});
  stored.series.push_back(Series(3, {{"a", "3"}}));
  stored.series.push_back(Series(9, {{"a", "9"}}));
  ASSERT_TRUE(catalog->Load(stored));
  ASSERT_TRUE(catalog->Load(stored));
  EXPECT_THAT(ReadAll(*catalog->Current()),
              ElementsAre(LabelMap{{"a", "1"}}, LabelMap{{"a", "2"}}, LabelMap{{"a", "3"}}, LabelMap{{"a", "9"}}));
}

TEST(Catalog, SkipsAnUnreadableRow) {
  class Broken final : public store::EmptyReader {
   public:
    Status ReadSeries(uint64_t after, const std::function<bool(const store::StoredSeries&)>& visit) override {
      const char* const contents[] = {"up{}", "up{a=", "down{}", "up{a=\"\\x\"}"};
      for (uint64_t id = after + 1; id <= std::size(contents); ++id)
        visit({id, "", contents[id - 1], {}, kSeen, kSeen});
      return {};
    }
  };
  Lines log;
  const auto catalog = std::make_unique<Catalog>(CatalogOptions{.logger = &log});
  Broken broken;
  ASSERT_TRUE(catalog->Load(broken));
  ASSERT_TRUE(catalog->Load(broken));
  EXPECT_THAT(ReadAll(*catalog->Current()), ElementsAre(LabelMap{{"__name__", "up"}}, LabelMap{{"__name__", "down"}}));
  EXPECT_EQ(catalog->stats().damaged, 2);
  EXPECT_THAT(log.lines, ElementsAre(HasSubstr("series 2"), HasSubstr("series 4")));
}

// A store with `count` series m{n="0"}, m{n="1"} ... of the given tenant.
void Fill(store::FakeCatalog& stored, const model::Tenant& tenant, const std::string& secret, size_t count) {
  const model::Fingerprinter fingerprint(secret, tenant);
  model::SeriesBatch batch(tenant, kSeen);
  for (size_t i = 0; i < count; ++i) {
    const model::Labels labels = model::ParseIdentity(format("m{{n=\"{}\"}}", i)).value();
    batch.Add(fingerprint(labels.canonical()), labels.canonical());
  }
  ASSERT_TRUE(stored.OpenStore()->Apply({&batch, 1}, {}));
}

TEST(Catalog, SkipsARowThatDoesNotHaveTheFingerprintOfItsContentUntilItIsHealed) {
  store::FakeCatalog stored;
  Fill(stored, model::Tenant::Parse("acme").value(), "secret", 20);
  store::FakeCatalog::Backup damaged = stored.Copy();
  damaged.rows[3].content = "m{n=\"other\"}";
  damaged.rows[5].fingerprint.lo ^= 1;
  damaged.rows[7].tenant = model::Tenant();
  stored.Restore(damaged);
  Lines log;
  Catalog catalog({.logger = &log});
  catalog.VerifyFingerprints("secret");
  ASSERT_TRUE(catalog.Load(*stored.OpenReader()));
  EXPECT_EQ(catalog.stats().series, 17);
  EXPECT_EQ(catalog.stats().damaged, 3);
  EXPECT_THAT(log.lines, ElementsAre(HasSubstr("series 3"), HasSubstr("series 5"), HasSubstr("series 7")));
  const std::vector<store::DamagedRow> noted = catalog.TakeDamaged();
  for (const uint64_t id : {3, 5, 7}) {
    EXPECT_THAT(
        noted, Contains(testing::AllOf(testing::Field(&store::DamagedRow::id, id),
                                       testing::Field(&store::DamagedRow::fingerprint, damaged.rows[id].fingerprint))));
  }
  const model::Fingerprint of_content{damaged.rows[5].fingerprint.hi, damaged.rows[5].fingerprint.lo ^ 1};
  EXPECT_THAT(noted, Contains(testing::AllOf(testing::Field(&store::DamagedRow::id, 5u),
                                             testing::Field(&store::DamagedRow::fingerprint, of_content))));
  EXPECT_THAT(catalog.TakeDamaged(), IsEmpty());

  Told told;
  told.Add({3, "acme", {{"__name__", "m"}, {"n", "2"}}, kSeen, kSeen});
  std::swap(told.applied.inserted, told.applied.healed);
  for (int i = 0; i < 2; ++i) catalog.Append(told.batches, told.applied);
  EXPECT_EQ(catalog.stats().series, 18);
  EXPECT_EQ(catalog.stats().damaged, 2);
}

TEST(Catalog, ForgetsTheFingerprintOfARowWhoseTimesAreLostEvenIfItsContentIsDamagedToo) {
  class WithoutTimes final : public NaiveCatalog {
   public:
    Status ReadSeries(uint64_t after_id, const std::function<bool(const store::StoredSeries&)>& visit) override {
      return NaiveCatalog::ReadSeries(after_id, [&](store::StoredSeries shown) {
        shown.fingerprint = row;
        shown.has_times = false;
        return visit(shown);
      });
    }
    model::Fingerprint row;
  };
  WithoutTimes stored;
  stored.series = {Series(1, {{"a", "1"}})};
  const model::Labels labels = ToLabels(stored.series[0].labels);
  const model::Fingerprint whole = model::Fingerprinter("", {})(labels.canonical());
  for (const model::Fingerprint row : {whole, model::Fingerprint{1, 2}}) {
    stored.row = row;
    Catalog catalog({});
    catalog.VerifyFingerprints("");
    ASSERT_TRUE(catalog.Load(stored));
    EXPECT_EQ(catalog.stats().series, 0);
    EXPECT_EQ(catalog.stats().damaged, 1);
    EXPECT_THAT(catalog.TakeDamaged(), Contains(testing::Field(&store::DamagedRow::fingerprint, row)));
  }
}

TEST(Catalog, KeepsTheFingerprintsOfDamagedRowsOnceHoweverOftenTheStoreIsReadAgain) {
  store::FakeCatalog stored;
  Fill(stored, model::Tenant(), "another secret", 50);
  Catalog catalog({});
  catalog.VerifyFingerprints("secret");
  const auto reader = stored.OpenReader();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(catalog.LoadAll(*reader));
  EXPECT_EQ(catalog.TakeDamaged().size(), 100U);
}

TEST(Catalog, LogsOnlyTheFirstDamagedRows) {
  store::FakeCatalog stored;
  Fill(stored, model::Tenant(), "another secret", 500);
  Lines log;
  Catalog catalog({.logger = &log});
  catalog.VerifyFingerprints("secret");
  ASSERT_TRUE(catalog.Load(*stored.OpenReader()));
  EXPECT_EQ(catalog.stats().damaged, 500);
  EXPECT_EQ(log.lines.size(), 10);
}

TEST(Catalog, RowsThatTheStoreCountsButCannotShowAreDamage) {
  class Short final : public NaiveCatalog {
   public:
    // Series 2 cannot be shown.
    Result<uint64_t> CountSeries(uint64_t up_to_id) override { return up_to_id >= 2 ? 2 : 1; }
  };
  Short stored;
  stored.series = {Series(1, {{"a", "1"}})};
  Catalog catalog({});
  EXPECT_EQ(catalog.Load(stored).error().code(), Errc::kCorrupt);
}

TEST(Catalog, AStoppedLoadIsUnavailableEvenIfNoSeriesIsLeftToRead) {
  const auto catalog = std::make_unique<Catalog>(CatalogOptions{});
  NaiveCatalog stored;
  catalog->StopLoading();
  ASSERT_FALSE(catalog->Load(stored));
  EXPECT_EQ(catalog->Load(stored).error().code(), Errc::kUnavailable);
}

TEST(Catalog, ReturnsTheReadersErrorAndKeepsWhatWasReadBefore) {
  class Failing final : public store::EmptyReader {
   public:
    Status ReadSeries(uint64_t, const std::function<bool(const store::StoredSeries&)>& visit) override {
      visit({1, "", "up{}", {}, kSeen, kSeen});
      return Fail(Errc::kUnavailable, "gone");
    }
  };
  const auto catalog = std::make_unique<Catalog>(CatalogOptions{});
  Failing failing;
  EXPECT_EQ(catalog->Load(failing).error(), Error(Errc::kUnavailable, "gone"));
  EXPECT_EQ(catalog->Current()->series(), 1);
}

TEST(Catalog, RefusesSeriesAboveMaxSeriesAndLogsItOnce) {
  Lines log;
  const auto catalog = std::make_unique<Catalog>(CatalogOptions{.max_series = 2, .logger = &log});
  AppendTo(*catalog,
           {Series(1, {{"a", "1"}}), Series(2, {{"a", "2"}}), Series(3, {{"a", "3"}}), Series(4, {{"a", "4"}})});
  EXPECT_EQ(catalog->Current()->series(), 2);
  EXPECT_EQ(catalog->Current()->FindPair("a", "3"), std::nullopt);
  EXPECT_EQ(catalog->stats().refused, 2);
  EXPECT_EQ(catalog->stats().highest_id, 2);
  EXPECT_THAT(log.lines, ElementsAre(HasSubstr("limit of 2")));

  NaiveCatalog stored;
  stored.series = {Series(3, {{"a", "3"}})};
  const Status loaded = catalog->Load(stored);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code(), Errc::kTooLarge);
  EXPECT_THAT(loaded.error().message(), HasSubstr("limit of 2"));
}

TEST(Catalog, UpdatesTimesByAppendAndByUpdateSeen) {
  const auto catalog = std::make_unique<Catalog>(CatalogOptions{.activity_interval_s = 60});
  AppendTo(*catalog, {Series(5, {{"a", "1"}}), Series(8, {{"a", "2"}})});
  const auto snapshot = catalog->Current();
  store::ApplyResult applied;
  applied.updated = {{5, kSeen - 2500, kSeen + 600'001}};
  catalog->Append({}, applied);
  catalog->UpdateSeen(std::vector<store::SeenUpdate>{{8, kSeen, kSeen + 1000}, {6, 0, 0}, {9, 0, 0}});

  SeriesView view;
  snapshot->Read(0, view);
  EXPECT_EQ(view.first_seen_ms, kSeen - 3000);
  EXPECT_EQ(view.last_seen_ms, kSeen + 601'000);
  auto seen = [&](int64_t start_ms, int64_t end_ms) {
    return Ordinals(snapshot->SeenIn(snapshot->All(), {start_ms, end_ms}));
  };
  EXPECT_THAT(seen(kSeen - 10'000, kSeen - 1), ElementsAre(0));
  EXPECT_THAT(seen(kSeen, kSeen), ElementsAre(0, 1));
  EXPECT_THAT(seen(kSeen + 61'000, kSeen + 61'000), ElementsAre(0, 1));
  EXPECT_THAT(seen(kSeen + 61'001, kSeen + 70'000), ElementsAre(0));
  EXPECT_THAT(seen(kSeen + 661'001, INT64_MAX), IsEmpty());
  EXPECT_THAT(seen(INT64_MIN, INT64_MAX), ElementsAre(0, 1));
  EXPECT_THAT(seen(INT64_MIN, 0), IsEmpty());
}

TEST(Catalog, AnEndlessActivityIntervalDoesNotOverflow) {
  const auto catalog = std::make_unique<Catalog>(CatalogOptions{.activity_interval_s = UINT64_MAX});
  AppendTo(*catalog, {Series(1, {})});
  const auto snapshot = catalog->Current();
  EXPECT_EQ(snapshot->SeenIn(snapshot->All(), {kSeen + 1'000'000'000, INT64_MAX}).size(), 1);
}

TEST(Catalog, KeepsTheTextsOfEachFamilyAndTenantTheLatestFirst) {
  const auto catalog = std::make_unique<Catalog>(CatalogOptions{});
  const auto tenant = [](const char* name) { return model::Tenant::Parse(name).value(); };
  auto batch = [&](const char* of, std::vector<model::MetricMetadata> entries, int64_t seen_at_ms = kSeen) {
    model::SeriesBatch made(tenant(of), seen_at_ms);
    for (auto& entry : entries) made.AddMetadata(entry);
    return made;
  };
  const model::SeriesBatch batches[] = {
      batch("", {{"up", "gauge", "h", ""}, {"a", "counter", "h", ""}}), batch("t", {{"up", "gauge", "h", ""}}),
      batch("", {{"up", "gauge", "older", ""}}, kSeen - 1),
      batch("", {{"up", "gauge", "of", ""}, {"up", "gauge", "other", ""}}), batch("", {{"up", "gauge", "one", ""}})};
  catalog->Append(batches, {});
  const auto before = catalog->Current();
  NaiveCatalog stored;
  stored.metadata = {{tenant("t"), {"b", "info", "a help text that is longer than a few bytes", "s"}, kSeen},
                     {tenant("t"), {"up", "gauge", "new", ""}, kSeen + 1}};
  ASSERT_TRUE(catalog->Load(stored));

  EXPECT_THAT(Families(*before, {}),
              ElementsAre("/a/h", "/up/other", "/up/one", "/up/of", "/up/h", "/up/older", "t/up/h"));
  EXPECT_THAT(Families(*catalog->Current(), {"t"}),
              ElementsAre("t/b/a help text that is longer than a few bytes", "t/up/new", "t/up/h"));
  EXPECT_THAT(Families(*catalog->Current(), {"x"}), IsEmpty());
  EXPECT_THAT(Families(*catalog->Current(), {"", "t"}).size(), 9);
}

// As Prometheus, which shows what its present targets say.
TEST(Catalog, ForgetsATextThatIsSilentForTwoWindowsWhileOthersAreSaid) {
  const auto catalog = std::make_unique<Catalog>(CatalogOptions{.activity_interval_s = 10});
  const auto say = [&](const char* help, int64_t at_s) {
    model::SeriesBatch batch({}, kSeen + at_s * 1'000);
    batch.AddMetadata({"up", "gauge", help, ""});
    catalog->Append({&batch, 1}, {});
  };
  say("old", 0);
  say("new", 20);
  say("ancient", -1);
  EXPECT_THAT(Families(*catalog->Current(), {}), ElementsAre("/up/new", "/up/old"));
  say("old", 15);
  say("new", 35);
  EXPECT_THAT(Families(*catalog->Current(), {}), ElementsAre("/up/new", "/up/old"));
  say("new", 36);
  EXPECT_THAT(Families(*catalog->Current(), {}), ElementsAre("/up/new"));
  say("old", 15);
  EXPECT_THAT(Families(*catalog->Current(), {}), ElementsAre("/up/new"));
}

TEST(Catalog, DoesNotGrowWhenHelpTextsChange) {
  const auto catalog = std::make_unique<Catalog>(CatalogOptions{});
  const auto say = [&](int family, int time) {
    model::SeriesBatch batch({}, kSeen + time);
    batch.AddMetadata(
        {"family" + std::to_string(family), "gauge", std::string(1000, static_cast<char>('a' + (time + 26) % 26)), ""});
    catalog->Append({&batch, 1}, {});
  };
  for (int time = -9; time <= 0; ++time) {
    for (int family = 0; family < 200; ++family) say(family, time);
  }
  const auto old = catalog->Current();
  const uint64_t bytes = catalog->stats().bytes;
  for (int time = 1; time <= 50; ++time) {
    for (int family = 0; family < 200; family += 7) say(family, time);
  }
  EXPECT_EQ(catalog->stats().bytes, bytes);
  EXPECT_THAT(Families(*old, {}), testing::Each(testing::Not(HasSubstr("bbbb")))) << "what an old snapshot shows stays";
  EXPECT_THAT(Families(*catalog->Current(), {}), Contains("/family7/" + std::string(1000, 'a' + 50 % 26)));
}

TEST(Catalog, CountsSeriesByTenantLargestFirst) {
  const auto catalog = std::make_unique<Catalog>(CatalogOptions{});
  AppendTo(*catalog, {Series(1, {{"a", "1"}}, "x"), Series(2, {{"a", "1"}}, "y"), Series(3, {{"b", "1"}}, "y"),
                      Series(4, {{"c", "1"}}, "")});
  EXPECT_THAT(catalog->SeriesByTenant(10),
              ElementsAre(testing::Pair("y", 2), testing::Pair("", 1), testing::Pair("x", 1)));
  EXPECT_THAT(catalog->SeriesByTenant(1), ElementsAre(testing::Pair("y", 2)));
  EXPECT_THAT(Ordinals(catalog->Current()->OfTenant("y")), ElementsAre(1, 2));
  EXPECT_THAT(Ordinals(catalog->Current()->OfTenant("")), ElementsAre(3));
}

TEST(Catalog, EndsAVisitOfValuesWhenTheVisitorReturnsFalse) {
  const auto catalog = std::make_unique<Catalog>(CatalogOptions{});
  AppendTo(*catalog, {Series(1, {{"a", "1"}}), Series(2, {{"a", "2"}}), Series(3, {{"a", "3"}})});
  int visits = 0;
  catalog->Current()->ForEachValue("a", [&](std::string_view, PairId) { return ++visits < 2; });
  EXPECT_EQ(visits, 2);
}

// Readers ask a snapshot everything twice while the writer fills several windows. Both answers must be equal, without
// data races (TSan).
TEST(Catalog, SnapshotsDoNotChangeWhileTheWriterAppends) {
  const auto catalog = std::make_unique<Catalog>(CatalogOptions{});
  std::atomic<bool> done = false;
  auto digest = [](const Snapshot& snapshot) {
    std::vector<uint64_t> answers = {snapshot.series(), snapshot.All().size(), snapshot.OfTenant("t").size()};
    for (const std::string_view name : snapshot.LabelNames()) {
      answers.push_back(snapshot.WithLabel(name).size());
      snapshot.ForEachValue(name, [&](std::string_view value, PairId pair) {
        EXPECT_EQ(snapshot.FindPair(name, value), pair);
        answers.push_back(snapshot.CountWithPair(pair));
        answers.push_back(snapshot.WithPair(pair).size());
        return answers.size() < 400;
      });
    }
    SeriesView view;
    for (uint64_t at = 0; at < snapshot.series(); at += 997) {
      snapshot.Read(static_cast<Ordinal>(at), view);
      answers.push_back(view.id);
      answers.push_back(view.labels.size());
    }
    answers.push_back(snapshot.SeenIn(snapshot.All(), {0, kSeen}).size());
    answers.push_back(Families(snapshot, {}).size());
    return answers;
  };
  auto read = [&] {
    while (!done) {
      const auto snapshot = catalog->Current();
      const auto first = digest(*snapshot);
      EXPECT_GE(catalog->stats().series, snapshot->series());
      EXPECT_EQ(digest(*snapshot), first);
    }
  };
  {
    std::vector<std::jthread> readers;
    for (int i = 0; i < 3; ++i) readers.emplace_back(read);
    uint64_t id = 0;
    while (id < 50'000) {
      Told told;
      told.batches.emplace_back(model::Tenant::Parse(id % 2 == 0 ? "t" : "").value(), kSeen);
      told.batches[0].AddMetadata({"family" + std::to_string(id / 10'000), "gauge", "", ""});
      for (size_t i = 0; i < 700; ++i) {
        ++id;
        const std::string number = std::to_string(id);
        const LabelMap labels = {{"__name__", "m" + std::to_string(id % 10)},
                                 {"pod", std::to_string(id / 50)},
                                 {"l" + std::to_string(id / 5000), "x"},
                                 {"uid", number}};
        told.batches[0].Add({}, ToLabels(labels).canonical());
        told.applied.inserted.push_back({id, 0, i});
      }
      catalog->Append(told.batches, told.applied);
      catalog->UpdateSeen(std::vector<store::SeenUpdate>{{id / 2, kSeen - 1000, kSeen + static_cast<int64_t>(id)}});
    }
    done = true;
  }
  EXPECT_GE(catalog->Current()->series(), 50'000);
}

}  // namespace
}  // namespace mi::catalog
