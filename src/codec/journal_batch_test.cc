#include "codec/journal_batch.h"

#include "model/labels.h"

namespace mi::codec {
namespace {

using model::MetricMetadata;
using model::SeriesBatch;

std::string Canonical(std::vector<model::Label> labels) { return model::Labels::FromUnsorted(labels)->canonical(); }

SeriesBatch Batch(std::string_view tenant, int64_t seen_at_ms, size_t series) {
  SeriesBatch batch(model::Tenant::Parse(tenant).value(), seen_at_ms);
  for (size_t i = 0; i < series; ++i) {
    batch.Add({i * 0x0123456789abcdef, ~i}, Canonical({{"__name__", "m"}, {"i", std::to_string(i)}}));
  }
  return batch;
}

void ExpectSame(const SeriesBatch& got, const SeriesBatch& want) {
  EXPECT_EQ(got.tenant(), want.tenant());
  EXPECT_EQ(got.seen_at_ms(), want.seen_at_ms());
  EXPECT_EQ(got.metadata(), want.metadata());
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].fingerprint, want[i].fingerprint);
    EXPECT_EQ(got[i].labels, want[i].labels);
  }
}

std::string_view Encode(JournalEncoder& encoder, const SeriesBatch& batch) {
  const SeriesBatch* const one = &batch;
  return encoder.Encode({&one, 1}).value();
}

std::string Row(const SeriesBatch& batch) {
  JournalEncoder encoder;
  return std::string(Encode(encoder, batch));
}

// With the right checksum, so that the contents must be checked too.
std::string Resealed(std::string row) {
  const model::Fingerprinter hash("journal row", {});
  const uint64_t sum = hash(std::string_view(row).substr(9)).lo;
  std::memcpy(row.data() + 1, &sum, sizeof sum);
  return row;
}

TEST(JournalBatch, RoundTrips) {
  SeriesBatch batch = Batch("team-a", 1700000000123, 1000);
  batch.AddMetadata({"m", "counter", "Help with \n and \0 in it", "s"});
  batch.AddMetadata({"n", "", "", ""});
  const auto decoded = JournalDecoder().Decode(Row(batch));
  ASSERT_TRUE(decoded) << decoded.error().message();
  ASSERT_EQ(decoded->size(), 1U);
  ExpectSame(decoded->front(), batch);
}

TEST(JournalBatch, ContainsTheBatchesOfManyRequestsInOrder) {
  const std::vector<SeriesBatch> batches = {Batch("", 1, 3), Batch("7:1", -5, 0), Batch("x", 3, 2)};
  std::vector<const SeriesBatch*> pointers;
  for (const SeriesBatch& batch : batches) pointers.push_back(&batch);
  JournalEncoder encoder;
  const auto decoded = JournalDecoder().Decode(*encoder.Encode(pointers));
  ASSERT_TRUE(decoded);
  ASSERT_EQ(decoded->size(), 3U);
  for (size_t i = 0; i < 3; ++i) ExpectSame((*decoded)[i], batches[i]);
  EXPECT_TRUE(JournalDecoder().Decode(*encoder.Encode(std::span<const SeriesBatch* const>()))->empty());
}

TEST(JournalBatch, EncoderAndDecoderCanBeReused) {
  JournalEncoder encoder;
  JournalDecoder decoder;
  for (const size_t series : {1000U, 0U, 1U, 5000U, 2U}) {
    const SeriesBatch batch = Batch("", 1, series);
    ExpectSame(decoder.Decode(Encode(encoder, batch))->front(), batch);
  }
}

TEST(JournalBatch, DetectsEveryFlippedBit) {
  const std::string row = Row(Batch("t", 1, 3));
  JournalDecoder decoder;
  for (size_t bit = 0; bit < row.size() * 8; ++bit) {
    std::string bad = row;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    const auto decoded = decoder.Decode(bad);
    ASSERT_FALSE(decoded) << bit;
    EXPECT_EQ(decoded.error().code(), Errc::kCorrupt);
  }
}

TEST(JournalBatch, DetectsEveryTruncation) {
  const std::string row = Row(Batch("t", 1, 3));
  JournalDecoder decoder;
  for (size_t cut = 0; cut < row.size(); ++cut) {
    EXPECT_EQ(decoder.Decode(row.substr(0, cut)).error().code(), Errc::kCorrupt);
  }
  EXPECT_EQ(decoder.Decode(row + "x").error().code(), Errc::kCorrupt);
}

TEST(JournalBatch, IsCheckedEvenIfTheChecksumIsRight) {
  JournalDecoder decoder;
  auto f = [&](const std::string& row) { EXPECT_EQ(decoder.Decode(row).error().code(), Errc::kCorrupt); };
  const std::string row = Row(Batch("t", 1, 3));
  std::string more = row;
  more[9] = 4;  // series
  f(Resealed(more));
  std::string less = row;
  less[9] = 2;
  f(Resealed(less));
  std::string many = row;
  many[12] = '\x7f';
  f(Resealed(many));
  f(Resealed(row + "trailing"));
  f(Resealed(row.substr(0, row.size() - 3)));
}

TEST(JournalBatch, NamesAnUnknownVersion) {
  std::string row = Row(Batch("", 1, 1));
  row[0] = 9;
  EXPECT_EQ(JournalDecoder().Decode(row).error().message(), "journal row: version 9, this program reads 1");
}

TEST(JournalBatch, IsSmallerThanItsContents) {
  const SeriesBatch batch = Batch("", 1, 2000);
  EXPECT_LT(Row(batch).size(), batch.byte_size() + batch.size() * 4);
}

}  // namespace
}  // namespace mi::codec
