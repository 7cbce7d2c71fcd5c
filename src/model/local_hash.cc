// kCarryless: a text is cut into blocks of 16 bytes. Each half of a block is combined with its own random 64 bits of
// the key, and the halves are multiplied as polynomials over GF(2), which one instruction does. The products are added
// up:
//
//   block i:   m0 | m1        (m0 ^ k[i].0) * (m1 ^ k[i].1)   -> 128 bits
//   sum of all blocks ^ size ^ tenant  ->  four rounds of AES ->  hash
//
// This is the construction PH of UMASH and CLHASH, and the carry-less form of UMAC's NH. Let two texts of one size
// differ in block i. Their sums are equal only if the products of block i differ by exactly the difference of all other
// products. Say m0 differs: whatever the other keys are, this is an equation a * (k[i].1 ^ m1) = b with a != 0, which
// at most one k[i].1 of 2^64 solves. (If the texts have different numbers of blocks, two: a product of 0 has two
// causes.) The size tells apart texts of different sizes that have the same blocks. The last block is the last 16 bytes
// of the text, so it may overlap the one before; a shorter text is one block of two overlapping halves. With a given
// size this loses nothing.
//
// The rounds of AES mix the sum into bits that look random, because the table takes the shard and the line of an entry
// from the upper ones. They are a permutation, so they add no collisions. More than kChunkBlocks blocks: the sum so far
// is permuted too, and goes on with the first block of the key.
#include "model/local_hash.h"

#include <cassert>
#include <cstring>
#include <random>

#define XXH_INLINE_ALL
#include <xxhash.h>

#ifdef __x86_64__
#include <immintrin.h>
#define MI_CARRYLESS [[gnu::target("avx,aes,pclmul")]]
#endif

namespace mi::model {
namespace {

using Block = LocalHashKey::Block;
using Engine = LocalHashKey::Engine;

constexpr size_t kBlockBytes = sizeof(Block);
constexpr uint64_t kSequence = 0x73657175656e6365;  // tells sequences from texts

// A hash of all zeros means "none" to callers.
Fingerprint NeverZero(uint64_t hi, uint64_t lo) { return {.hi = hi, .lo = lo | static_cast<uint64_t>((hi | lo) == 0)}; }

template <typename T>
uint64_t Load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// A text shorter than a block. Two texts of one size have the same block only if they are equal.
Block ShortBlock(const char* at, size_t size) {
  if (size >= 8) return {Load<uint64_t>(at), Load<uint64_t>(at + size - 8)};
  if (size >= 4) return {Load<uint32_t>(at), Load<uint32_t>(at + size - 4)};
  if (size == 0) return {};
  return {Load<uint8_t>(at) | Load<uint8_t>(at + size / 2) << 8 | Load<uint8_t>(at + size - 1) << 16, 0};
}

#ifdef __x86_64__

// NOLINTBEGIN(portability-simd-intrinsics)
MI_CARRYLESS inline __m128i LoadBlock(const void* at) { return _mm_loadu_si128(static_cast<const __m128i*>(at)); }

MI_CARRYLESS inline __m128i Product(__m128i block, const Block& key) {
  const __m128i mixed = _mm_xor_si128(block, LoadBlock(&key));
  return _mm_clmulepi64_si128(mixed, mixed, 0x10);  // the lower half times the upper half
}

MI_CARRYLESS inline __m128i Permute(__m128i sum, const Block* rounds) {
  for (size_t i = 0; i < LocalHashKey::kRounds; ++i) sum = _mm_aesenc_si128(sum, LoadBlock(&rounds[i]));
  return sum;
}

MI_CARRYLESS inline Fingerprint Finish(__m128i sum, uint64_t size, uint64_t kind, const Block& tenant,
                                       const Block* rounds) {
  sum = _mm_xor_si128(_mm_xor_si128(sum, LoadBlock(&tenant)),
                      _mm_set_epi64x(static_cast<long long>(kind), static_cast<long long>(size)));
  sum = Permute(sum, rounds);
  return NeverZero(static_cast<uint64_t>(_mm_extract_epi64(sum, 1)), static_cast<uint64_t>(_mm_cvtsi128_si64(sum)));
}

MI_CARRYLESS inline __m128i Sum(const LocalHashKey& key, const char* at, size_t size) {
  const Block* k = key.blocks();
  if (size < kBlockBytes) {
    const Block block = ShortBlock(at, size);
    return Product(_mm_set_epi64x(static_cast<long long>(block[1]), static_cast<long long>(block[0])), *k);
  }
  const char* const last = at + size - kBlockBytes;
  __m128i sum = _mm_setzero_si128();
  constexpr ptrdiff_t kChunkBytes = LocalHashKey::kChunkBlocks * kBlockBytes;
  while (last - at >= kChunkBytes) {
    for (const char* const end = at + kChunkBytes; at != end; at += kBlockBytes, ++k) {
      sum = _mm_xor_si128(sum, Product(LoadBlock(at), *k));
    }
    sum = Permute(sum, key.rounds());
    k = key.blocks();
  }
  __m128i more = Product(LoadBlock(last), key.blocks()[LocalHashKey::kChunkBlocks + 1]);
  for (; last - at >= ptrdiff_t{4 * kBlockBytes}; at += 4 * kBlockBytes, k += 4) {
    sum = _mm_xor_si128(sum, Product(LoadBlock(at), k[0]));
    more = _mm_xor_si128(more, Product(LoadBlock(at + kBlockBytes), k[1]));
    sum = _mm_xor_si128(sum, Product(LoadBlock(at + 2 * kBlockBytes), k[2]));
    more = _mm_xor_si128(more, Product(LoadBlock(at + 3 * kBlockBytes), k[3]));
  }
  for (; at < last; at += kBlockBytes, ++k) sum = _mm_xor_si128(sum, Product(LoadBlock(at), *k));
  return _mm_xor_si128(sum, more);
}

MI_CARRYLESS Fingerprint HashCarryless(const LocalHashKey& key, const Block& tenant, std::string_view text) {
  return Finish(Sum(key, text.data(), text.size()), text.size(), 0, tenant, key.rounds());
}

MI_CARRYLESS inline Block PartCarryless(const LocalHashKey& key, std::string_view text) {
  const __m128i sum =
      _mm_xor_si128(Sum(key, text.data(), text.size()), _mm_set_epi64x(0, static_cast<long long>(text.size())));
  Block block;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(&block), sum);
  return block;
}

MI_CARRYLESS void PartsCarryless(const LocalHashKey& key, std::span<const std::string_view> texts,
                                 LocalHasher::Part* parts) {
  for (const std::string_view text : texts) *parts++ = {PartCarryless(key, text), text.size()};
}

MI_CARRYLESS Fingerprint SequenceCarryless(const LocalHashKey& key, const Block& tenant, const LocalHasher::Part* parts,
                                           std::span<const uint32_t> indices, uint64_t& bytes) {
  const Block* k = key.blocks();
  __m128i sum = _mm_setzero_si128();
  uint64_t size = 0;
  for (const uint32_t index : indices) {
    const LocalHasher::Part& part = parts[index];
    sum = _mm_xor_si128(sum, Product(LoadBlock(&part.hash), *k++));
    size += part.bytes;
  }
  bytes += size;
  return Finish(sum, indices.size(), kSequence, tenant, key.rounds());
}
// NOLINTEND(portability-simd-intrinsics)

#endif

Block HashPortable(const LocalHashKey& key, const void* at, size_t size) {
  constexpr size_t kSecretBytes = 256;
  static_assert(kSecretBytes <= LocalHashKey::kBlocks * kBlockBytes && kSecretBytes >= XXH3_SECRET_SIZE_MIN);
  const XXH128_hash_t hash = XXH3_128bits_withSecret(at, size, key.blocks(), kSecretBytes);
  return {hash.low64, hash.high64};
}

}  // namespace

Engine LocalHashKey::BestEngine() {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx") && __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul")) {
    return Engine::kCarryless;
  }
#endif
  return Engine::kPortable;
}

LocalHashKey::LocalHashKey(Engine engine) : engine_(engine) {
  std::random_device device;
  const auto random = [&] { return uint64_t{device()} << 32 | device(); };
  for (Block& block : blocks_) block = {random(), random()};
  for (Block& block : rounds_) block = {random(), random()};
}

LocalHashKey::LocalHashKey(Engine engine, uint64_t seed) : engine_(engine) {
  std::mt19937_64 random(seed);
  for (Block& block : blocks_) block = {random(), random()};
  for (Block& block : rounds_) block = {random(), random()};
}

LocalHasher::LocalHasher(const LocalHashKey& key, const Fingerprinter& fingerprinter) : key_(key) {
  const Fingerprint tenant = fingerprinter("local hash");
  tenant_ = {tenant.lo, tenant.hi};
}

Fingerprint LocalHasher::operator()(std::string_view text) const {
#ifdef __x86_64__
  if (key_.engine() == Engine::kCarryless) return HashCarryless(key_, tenant_, text);
#endif
  const Block hash = HashPortable(key_, text.data(), text.size());
  return NeverZero(hash[1] ^ tenant_[1], hash[0] ^ tenant_[0]);
}

LocalHasher::Part LocalHasher::OfPart(std::string_view text) const {
#ifdef __x86_64__
  if (key_.engine() == Engine::kCarryless) return {PartCarryless(key_, text), text.size()};
#endif
  return {HashPortable(key_, text.data(), text.size()), text.size()};
}

void LocalHasher::OfParts(std::span<const std::string_view> texts, std::vector<Part>& parts) const {
  parts.resize(texts.size());
#ifdef __x86_64__
  if (key_.engine() == Engine::kCarryless) return PartsCarryless(key_, texts, parts.data());
#endif
  for (size_t i = 0; i < texts.size(); ++i) parts[i] = OfPart(texts[i]);
}

Fingerprint LocalHasher::OfSequence(const Part* parts, std::span<const uint32_t> indices, uint64_t& bytes) const {
  assert(indices.size() <= kMaxSequence);
#ifdef __x86_64__
  if (key_.engine() == Engine::kCarryless) return SequenceCarryless(key_, tenant_, parts, indices, bytes);
#endif
  std::array<Block, kMaxSequence> hashes;
  for (size_t i = 0; i < indices.size(); ++i) {
    hashes[i] = parts[indices[i]].hash;
    bytes += parts[indices[i]].bytes;
  }
  const Block hash = HashPortable(key_, hashes.data(), indices.size() * kBlockBytes);
  return NeverZero(hash[1] ^ tenant_[1] ^ kSequence, hash[0] ^ tenant_[0]);
}

}  // namespace mi::model
