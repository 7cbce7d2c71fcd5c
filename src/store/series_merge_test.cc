#include "store/series_merge.h"

#include <map>
#include <random>
#include <set>
#include <string>

#include "base/format.h"
#include "model/identity.h"
#include "store/testing/contract_test.h"

namespace mi::store {
namespace {

// Label sets whose neighbours share some labels at the same place, have others there, or lack one.
std::vector<LabelPairs> RandomSeries(size_t count) {
  std::mt19937 random(1);
  const auto below = [&](uint32_t end) { return static_cast<uint32_t>(random() % end); };
  std::vector<LabelPairs> all;
  for (size_t i = 0; i < count; ++i) {
    LabelPairs labels = {{"id", format("{}", i)}};
    for (const char* name : {"__name__", "a", "a.b", "aa", "b", "env", "service", "zone"}) {
      if (below(4) > 0) labels.emplace_back(name, std::string(below(2) * 150, 'x') + (below(2) == 0 ? "\"1\"" : "2"));
    }
    all.push_back(std::move(labels));
  }
  return all;
}

// Gives the texts of a dictionary the ids 1, 2, ... and returns them by id.
std::map<uint64_t, std::string> Settle(Dictionary& dictionary) {
  std::map<uint64_t, std::string> texts;
  for (Dictionary::Wanted* wanted : dictionary.Missing()) {
    texts[texts.size() + 1] = wanted->key;
    wanted->Settle(texts.size(), true);
  }
  return texts;
}

TEST(SeriesMerge, TellsOfEachNewSeriesItsOwnTextsWhateverTheSeriesBeforeIs) {
  const model::SeriesBatch batches[] = {MakeBatch("", 1, RandomSeries(300)), MakeBatch("acme", 2, RandomSeries(40))};
  const ApplyPlan plan(batches);
  Dictionaries dictionaries(1 << 20);
  model::IdentityFingerprinter stored("");
  SeriesMerge merge(plan, dictionaries, 1, stored);
  merge.CollectNew();
  const auto names = Settle(dictionaries.names);
  const auto values = Settle(dictionaries.values);
  const auto basic_labels = Settle(dictionaries.basic_labels);
  merge.RefuseClashes();
  merge.AssignIds(7);

  uint64_t id = 7;
  for (const NewSeries& series : merge.new_series()) {
    const model::SeriesBatch& batch = batches[id < 307 ? 0 : 1];
    const model::LabelsView labels = batch[id < 307 ? id - 7 : id - 307].labels;
    ASSERT_EQ(series.id, id++);
    ASSERT_EQ(merge.ContentOf(series), model::FormatIdentity(labels));
    std::string pairs;
    for (const model::Label& label : labels) {
      if (!IsBasicLabel(label.name)) pairs += format("{}={} ", label.name, label.value);
    }
    std::string found;
    for (const SeriesMerge::PairNumber pair : merge.PairsOf(series)) {
      const auto [name, value] = merge.IdsOf(pair);
      found += format("{}={} ", names.at(name), values.at(value));
    }
    ASSERT_EQ(found, pairs);
    std::string key;
    for (const std::string_view text :
         {std::string_view(batch.tenant().name()), labels.Get("env"), labels.Get("service"), labels.metric_name()}) {
      AppendNetstring(text, key);
    }
    ASSERT_EQ(basic_labels.at(merge.BasicLabelOf(series)), key);
  }
  EXPECT_EQ(id, 347);
}

TEST(SeriesMerge, HasOneNumberPerPair) {
  const model::SeriesBatch batch = MakeBatch("", 1, RandomSeries(300));
  const ApplyPlan plan({&batch, 1});
  Dictionaries dictionaries(1 << 20);
  model::IdentityFingerprinter stored("");
  SeriesMerge merge(plan, dictionaries, 1, stored);
  merge.CollectNew();
  for (Dictionary* dictionary : dictionaries.all()) Settle(*dictionary);
  std::set<std::pair<uint64_t, uint64_t>> distinct;
  for (SeriesMerge::PairNumber pair = 0; pair < merge.pair_count(); ++pair) {
    const auto [name, value] = merge.IdsOf(pair);
    distinct.insert({name, value});
  }
  EXPECT_EQ(distinct.size(), merge.pair_count());
}

TEST(SeriesMerge, CanTellTheNewSeriesByFingerprint) {
  const model::SeriesBatch batch = MakeBatch("", 1, RandomSeries(50));
  const ApplyPlan plan({&batch, 1});
  Dictionaries dictionaries(1 << 20);
  model::IdentityFingerprinter stored("");
  SeriesMerge merge(plan, dictionaries, 1, stored);
  merge.CollectNew();
  const auto sorted = merge.NewSeriesByFingerprint();
  EXPECT_EQ(sorted.size(), 50);
  EXPECT_TRUE(std::ranges::is_sorted(sorted, {}, [](const NewSeries* series) { return series->planned.fingerprint; }));
}

}  // namespace
}  // namespace mi::store
