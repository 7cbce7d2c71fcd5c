#include "catalog/dictionary.h"

#include "catalog/interner.h"

namespace mi::catalog {
namespace {

using namespace std::string_literals;

TEST(Dictionary, GivesOneIdPerText) {
  Dictionary dictionary;
  std::map<std::string, NameId> names;
  for (const std::string& name :
       {"a"s, "b"s, "a\0"s, "\0"s, "A"s, std::string(100'000, 'x'), std::string(100'001, 'x')}) {
    names[name] = dictionary.InternName(name);
  }
  std::set<NameId> distinct;
  for (const auto& [name, id] : names) {
    EXPECT_EQ(dictionary.InternName(name), id);
    EXPECT_EQ(dictionary.name(id).text, name);
    EXPECT_GE(id, kReservedNames);
    distinct.insert(id);
  }
  EXPECT_EQ(distinct.size(), names.size());
}

TEST(Dictionary, GivesTheSameValueOfTwoNamesTwoIds) {
  Dictionary dictionary;
  const NameId a = dictionary.InternName("a");
  const NameId b = dictionary.InternName("b");
  const PairId first = dictionary.InternPair(a, "v");
  EXPECT_NE(first, dictionary.InternPair(b, "v"));
  EXPECT_EQ(first, dictionary.InternPair(a, "v"));
  EXPECT_EQ(dictionary.label_pair_count(), 2);
}

TEST(Dictionary, ViewsDoNotChange) {
  Dictionary dictionary;
  const NameId name = dictionary.InternName("n");
  std::vector<Dictionary::View> views;
  constexpr uint32_t kValues = 3000;  // the table grows several times
  for (uint32_t i = 0; i < kValues; ++i) {
    if (i % 100 == 0) views.emplace_back(dictionary);
    dictionary.InternPair(name, std::to_string(i));
    dictionary.InternName("name" + std::to_string(i));
  }
  for (uint32_t k = 0; k < views.size(); ++k) {
    uint32_t seen = 0;
    views[k].ForEachPair(name, [&](PairId pair) {
      EXPECT_LT(std::stoul(std::string(views[k].Value(pair))), k * 100);
      ++seen;
      return true;
    });
    EXPECT_EQ(seen, k * 100);
    for (uint32_t i = 0; i < kValues; i += 7) {
      ASSERT_EQ(views[k].FindPair(name, std::to_string(i)).has_value(), i < k * 100) << k << ' ' << i;
      ASSERT_EQ(views[k].FindName("name" + std::to_string(i)).has_value(), i < k * 100) << k << ' ' << i;
    }
  }
}

TEST(Dictionary, DoesNotFindReservedNames) {
  Dictionary dictionary;
  dictionary.InternPair(kTenants, "");
  EXPECT_EQ(Dictionary::View(dictionary).FindName(""), std::nullopt);
  EXPECT_EQ(dictionary.label_pair_count(), 0);
}

TEST(TextHash, DependsOnEveryByteAndTheLength) {
  std::set<uint64_t> hashes;
  size_t count = 0;
  for (size_t size = 0; size < 40; ++size) {
    std::string text(size, '\0');
    for (size_t at = 0; at <= size; ++at, ++count) {
      if (at < size) text[at] = '\1';
      hashes.insert(HashText(text, 7));
    }
  }
  // Per length: every prefix of ones. The last text of each length occurs twice.
  EXPECT_EQ(hashes.size(), count - 39);
}

TEST(Shape, KnowsItsTenantAndNames) {
  std::string text;
  std::vector<NameId> names = {900, 2, 70'000};
  WriteShape(1234567, names, text);
  const ShapeView shape(text);
  EXPECT_EQ(shape.tenant(), 1234567);
  for (const NameId name : {2U, 900U, 70'000U}) EXPECT_TRUE(shape.Has(name)) << name;
  for (const NameId name : {3U, 899U, 901U, 70'001U, 5'000'000U}) EXPECT_FALSE(shape.Has(name)) << name;
  WriteShape(5, {}, text);
  EXPECT_FALSE(ShapeView(text).Has(2));
}

}  // namespace
}  // namespace mi::catalog
