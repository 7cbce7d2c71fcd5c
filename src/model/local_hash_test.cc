#include "model/local_hash.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <set>

namespace mi::model {
namespace {

using Block = LocalHashKey::Block;
using Engine = LocalHashKey::Engine;

const Fingerprinter kTenant("secret", {});

std::string RandomText(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text(size, '\0');
  for (char& byte : text) byte = static_cast<char>(random());
  return text;
}

class LocalHash : public testing::TestWithParam<Engine> {
 protected:
  void SetUp() override {
    if (GetParam() > LocalHashKey::BestEngine()) GTEST_SKIP() << "this processor does not have its instructions";
  }
  const LocalHashKey key_{GetParam(), 1};
  const LocalHasher hasher_{key_, kTenant};
};

INSTANTIATE_TEST_SUITE_P(Engines, LocalHash, testing::Values(Engine::kPortable, Engine::kCarryless),
                         [](const auto& engine) {
                           return engine.param == Engine::kPortable ? "Portable" : "Carryless";
                         });

// The same bytes at any address, and nothing read beyond them: each copy has memory of exactly its size.
TEST_P(LocalHash, IsThatOfTheBytesAlone) {
  for (size_t size = 0; size < 300; ++size) {
    const std::string text = RandomText(size + 1, size);
    const auto copy = std::make_unique_for_overwrite<char[]>(size);
    std::copy_n(text.data() + 1, size, copy.get());
    EXPECT_EQ(hasher_(std::string_view(copy.get(), size)), hasher_(std::string_view(text).substr(1))) << size;
  }
}

TEST_P(LocalHash, DiffersWithEveryBit) {
  for (const size_t size :
       {1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 63, 64, 65, 100, 465, 8191, 8192, 8193, 8300, 20'000}) {
    std::string text = RandomText(size, size);
    std::set<Fingerprint> hashes = {hasher_(text)};
    size_t changed = 0;
    for (size_t at = 0; at < size; at += 1 + size / 500) {
      text[at] ^= 0x10;
      hashes.insert(hasher_(text));
      text[at] ^= 0x10;
      ++changed;
    }
    EXPECT_EQ(hashes.size(), changed + 1) << size;
  }
}

TEST_P(LocalHash, DiffersWithTheSize) {
  for (const char fill : {'\0', 'x'}) {
    std::set<Fingerprint> hashes;
    for (size_t size = 0; size < 300; ++size) hashes.insert(hasher_(std::string(size, fill)));
    EXPECT_EQ(hashes.size(), 300U);
  }
}

TEST_P(LocalHash, DiffersWithKeyTenantAndSecret) {
  const LocalHashKey other(GetParam(), 2);
  const std::set<Fingerprint> hashes = {hasher_("text"), LocalHasher(other, kTenant)("text"),
                                        LocalHasher(key_, Fingerprinter("other", {}))("text"),
                                        LocalHasher(key_, Fingerprinter("secret", Tenant::Parse("a").value()))("text")};
  EXPECT_EQ(hashes.size(), 4U);
}

TEST_P(LocalHash, RandomKeysDiffer) {
  EXPECT_NE(LocalHasher(LocalHashKey(GetParam()), kTenant)("text"),
            LocalHasher(LocalHashKey(GetParam()), kTenant)("text"));
}

TEST_P(LocalHash, OfSequencesDependsOnPartsAndOrder) {
  std::vector<LocalHasher::Part> parts;
  hasher_.OfParts(std::vector<std::string_view>{"", "a", "b", "ab", "a"}, parts);
  const auto f = [&](std::vector<uint32_t> indices) {
    uint64_t bytes = 0;
    return hasher_.OfSequence(parts.data(), indices, bytes);
  };
  EXPECT_EQ(f({1, 2}), f({4, 2})) << "the text counts, not its number";
  const std::set<Fingerprint> hashes = {f({}),       f({0}),       f({0, 0}),    f({1}),    f({1, 2}),
                                        f({2, 1}),   f({3}),       f({0, 1}),    f({1, 0}), f({1, 2, 0}),
                                        hasher_(""), hasher_("a"), hasher_("ab")};
  EXPECT_EQ(hashes.size(), 13U);
  EXPECT_NE(f(std::vector<uint32_t>(LocalHasher::kMaxSequence, 1)),
            f(std::vector<uint32_t>(LocalHasher::kMaxSequence - 1, 1)));
}

TEST_P(LocalHash, AddsTheSizesOfAllParts) {
  std::vector<LocalHasher::Part> parts;
  hasher_.OfParts(std::vector<std::string_view>{"", "a", "bcd"}, parts);
  uint64_t bytes = 100;
  hasher_.OfSequence(parts.data(), std::vector<uint32_t>{2, 1, 2, 0}, bytes);
  EXPECT_EQ(bytes, 107U);
}

std::string Packed(const std::vector<uint32_t>& indices) {
  std::string packed;
  for (uint32_t index : indices) {
    for (; index >= 0x80; index >>= 7) packed += static_cast<char>(index | 0x80);
    packed += static_cast<char>(index);
  }
  return packed;
}

class LocalHashPacked : public testing::Test {
 protected:
  void SetUp() override {
    if (LocalHashKey::BestEngine() != Engine::kCarryless) GTEST_SKIP() << "this processor has no fast path";
    texts_.resize(20'000);
    for (size_t i = 0; i < texts_.size(); ++i) texts_[i] = RandomText(i % 40, i);
    hasher_.OfParts(std::vector<std::string_view>(texts_.begin(), texts_.end()), parts_);
  }
  // In memory of exactly the size that may be read. `behind` stands there.
  Fingerprint HashOf(const std::string& packed, char behind, uint64_t& bytes, size_t parts = 20'000) {
    const size_t size = packed.size() + LocalHasher::kPackedSlack;
    const auto copy = std::make_unique_for_overwrite<char[]>(size);
    std::ranges::fill_n(std::ranges::copy(packed, copy.get()).out, LocalHasher::kPackedSlack, behind);
    return hasher_.OfPacked(std::span(parts_).first(parts), {copy.get(), packed.size()}, bytes);
  }

  const LocalHashKey key_{LocalHashKey::BestEngine(), 1};
  const LocalHasher hasher_{key_, kTenant};
  std::vector<std::string> texts_;
  std::vector<LocalHasher::Part> parts_;
};

TEST_F(LocalHashPacked, IsThatOfTheSequence) {
  std::mt19937 random(5);
  for (int i = 0; i < 20'000; ++i) {
    const uint32_t below = i % 2 == 0 ? 200 : 0x4000;
    std::vector<uint32_t> indices(2 + random() % 30 / 2 * 2);
    for (uint32_t& index : indices) index = random() % (random() % 3 == 0 ? 0x80 : below);
    uint64_t bytes = 7;
    uint64_t expected_bytes = 7;
    EXPECT_EQ(HashOf(Packed(indices), static_cast<char>(i % 3 * 0x7f), bytes),
              hasher_.OfSequence(parts_.data(), indices, expected_bytes))
        << testing::PrintToString(indices);
    EXPECT_EQ(bytes, expected_bytes);
  }
}

TEST_F(LocalHashPacked, IsLeftToTheOtherPathIfTheIndicesAreUnusual) {
  const auto f = [&](const std::string& packed, bool taken, size_t parts = 20'000) {
    for (size_t before = 0; before < 18; before += 2) {  // at each place of a step
      for (const char behind : {'\0', '\x01', '\x80', '\xff'}) {
        uint64_t bytes = 7;
        const Fingerprint hash = HashOf(std::string(before, '\x03') + packed, behind, bytes, parts);
        EXPECT_EQ(hash != Fingerprint(), taken) << testing::PrintToString(packed) << " after " << before;
        EXPECT_EQ(bytes != 7, taken);
      }
    }
  };
  f(Packed({5, 200}), true);
  f(Packed({5, 0x3fff}), true);
  f(Packed({5, 0x4000}), false);
  f(Packed({0x4000, 5}), false);
  f(Packed({0x4000, 0x4000}), false);
  f(std::string("\x85\x80\x00\x05", 4), false);
  f(Packed({5, 200}), true, 201);
  f(Packed({5, 200}), false, 200);
  f(Packed({200, 5}), false, 200);
  f(Packed({5, 6, 7}), false);
  f(Packed({200, 201, 202}), false);
  f("\x05\x80", false);
  f("\x05\x06\x07\xff", false);
  uint64_t bytes = 0;
  EXPECT_EQ(HashOf("", 1, bytes), Fingerprint());
  EXPECT_NE(HashOf(std::string(LocalHasher::kMaxSequence, '\1'), 1, bytes), Fingerprint());
  EXPECT_EQ(HashOf(std::string(LocalHasher::kMaxSequence + 2, '\1'), 1, bytes), Fingerprint());
}

// The upper bits choose a shard and a line.
TEST_P(LocalHash, SpreadsOverTheUpperBitsOfBothHalves) {
  std::array<size_t, 64> shards{};
  std::array<size_t, 64> lines{};
  constexpr size_t kTexts = 64'000;
  for (size_t i = 0; i < kTexts; ++i) {
    const Fingerprint hash = hasher_(std::to_string(i));
    ++shards[hash.hi >> 58];
    ++lines[hash.lo >> 58];
  }
  for (const auto& counts : {shards, lines}) {
    EXPECT_GT(std::ranges::min(counts), 800U);
    EXPECT_LT(std::ranges::max(counts), 1200U);
  }
}

// The plain implementation of kCarryless: bit by bit, as in the definitions.
class PlainLocalHash {
 public:
  explicit PlainLocalHash(const LocalHashKey& key) : key_(key) {}

  Block Hash(std::string_view text) const { return Finish(Sum(text), {text.size(), 0}); }
  Block Part(std::string_view text) const { return Xor(Sum(text), {text.size(), 0}); }
  Block Sequence(const std::vector<Block>& parts) const {
    Block sum{};
    for (size_t i = 0; i < parts.size(); ++i) sum = Xor(sum, Product(parts[i], i));
    return Finish(sum, {parts.size(), 0x73657175656e6365});
  }

 private:
  static Block Xor(Block a, Block b) { return {a[0] ^ b[0], a[1] ^ b[1]}; }

  Block Product(Block block, size_t index) const {
    const Block mixed = Xor(block, key_.blocks()[index]);
    Block product{};
    for (int bit = 0; bit < 64; ++bit) {
      if ((mixed[1] >> bit & 1) == 0) continue;
      product[0] ^= mixed[0] << bit;
      product[1] ^= bit == 0 ? 0 : mixed[0] >> (64 - bit);
    }
    return product;
  }

  static Block Load(std::string_view bytes) {
    Block block{};
    std::memcpy(&block, bytes.data(), std::min<size_t>(bytes.size(), 16));
    return block;
  }

  // Two overlapping halves; three bytes that may be the same.
  static Block LoadShort(std::string_view text) {
    const size_t size = text.size();
    if (size >= 8) return {Load(text.substr(0, 8))[0], Load(text.substr(size - 8))[0]};
    if (size >= 4) return {Load(text.substr(0, 4))[0], Load(text.substr(size - 4))[0]};
    if (size == 0) return {};
    const std::string bytes = {text.front(), text[size / 2], text.back()};
    return {Load(bytes)[0], 0};
  }

  Block Sum(std::string_view text) const {
    if (text.size() < 16) return Product(LoadShort(text), 0);
    Block sum{};
    size_t at = 0;
    size_t index = 0;
    for (; at + 16 < text.size(); at += 16) {
      sum = Xor(sum, Product(Load(text.substr(at)), index++));
      if (index == LocalHashKey::kChunkBlocks && at + 32 <= text.size()) {
        sum = Permute(sum);
        index = 0;
      }
    }
    return Xor(sum, Product(Load(text.substr(text.size() - 16)), LocalHashKey::kChunkBlocks + 1));
  }

  static uint8_t Times(uint8_t a, uint8_t b) {  // in the field of AES
    uint8_t product = 0;
    for (; b != 0; b >>= 1) {
      if ((b & 1) != 0) product ^= a;
      a = static_cast<uint8_t>(a << 1 ^ (a >> 7) * 0x1b);
    }
    return product;
  }
  static uint8_t Substitute(uint8_t x) {
    uint8_t inverse = 0;
    for (int y = 1; y < 256 && x != 0; ++y) {
      if (Times(x, static_cast<uint8_t>(y)) == 1) inverse = static_cast<uint8_t>(y);
    }
    uint8_t result = 0x63;
    for (int turn = 0; turn < 5; ++turn) result ^= std::rotl(inverse, turn);
    return result;
  }
  Block Permute(Block block) const {
    for (size_t round = 0; round < LocalHashKey::kRounds; ++round) {
      std::array<uint8_t, 16> in;
      std::array<uint8_t, 16> out;
      std::memcpy(in.data(), &block, 16);
      for (size_t column = 0; column < 4; ++column) {
        std::array<uint8_t, 4> t;
        for (size_t row = 0; row < 4; ++row) t[row] = Substitute(in[(column + row) % 4 * 4 + row]);
        for (size_t row = 0; row < 4; ++row) {
          out[column * 4 + row] = Times(t[row], 2) ^ Times(t[(row + 1) % 4], 3) ^ t[(row + 2) % 4] ^ t[(row + 3) % 4];
        }
      }
      std::memcpy(&block, out.data(), 16);
      block = Xor(block, key_.rounds()[round]);
    }
    return block;
  }
  Block Finish(Block sum, Block kind) const {
    const Fingerprint tenant = kTenant("local hash");
    return Permute(Xor(Xor(sum, kind), {tenant.lo, tenant.hi}));
  }

  const LocalHashKey& key_;
};

TEST(LocalHashCarryless, IsTheSameAsThePlainImplementation) {
  if (LocalHashKey::BestEngine() != Engine::kCarryless) GTEST_SKIP() << "this processor does not have its instructions";
  const LocalHashKey key(Engine::kCarryless, 3);
  const LocalHasher hasher(key, kTenant);
  const PlainLocalHash plain(key);
  std::vector<Block> blocks;
  std::vector<LocalHasher::Part> parts;
  std::vector<uint32_t> indices;
  const auto f = [&](size_t size) {
    const std::string text = RandomText(size, size);
    const Block hash = plain.Hash(text);
    EXPECT_EQ(hasher(text), (Fingerprint{.hi = hash[1], .lo = hash[0]})) << size;
    EXPECT_EQ(hasher.OfPart(text).hash, plain.Part(text)) << size;
    blocks.push_back(plain.Part(text));
    parts.push_back(hasher.OfPart(text));
    indices.push_back(static_cast<uint32_t>(indices.size()));
    const Block sequence = plain.Sequence(blocks);
    uint64_t bytes = 0;
    EXPECT_EQ(hasher.OfSequence(parts.data(), indices, bytes), (Fingerprint{.hi = sequence[1], .lo = sequence[0]}));
  };
  for (size_t size = 0; size < 150; ++size) f(size);
  for (const size_t size : {465, 8176, 8191, 8192, 8193, 8207, 8208, 8209, 16'400, 20'000}) f(size);
}

}  // namespace
}  // namespace mi::model
