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

#include <bit>
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

// Reads varints of one and two bytes without a branch, eight bytes in each step. The upper bits of the bytes say where
// each begins. They choose a shuffle that gives every varint a lane of 16 bits:
//
//   bytes     05  81 02  07  93 01  08  99        99: its second byte is in the next step
//   upper bits 0   1  0   0   1  0   0   1
//   lanes   05 00|81 02|07 00|93 01|08 00|00 00|00 00|00 00
//
// A varint of three bytes leaves an upper bit set in the second byte of a lane, which is looked at once at the end.
constexpr size_t kStep = 8;
using Shuffle = std::array<uint8_t, 2 * kStep>;

consteval std::array<Shuffle, 1 << kStep> MakeShuffles() {
  std::array<Shuffle, 1 << kStep> shuffles;
  for (size_t upper_bits = 0; upper_bits < shuffles.size(); ++upper_bits) {
    Shuffle& shuffle = shuffles[upper_bits];
    shuffle.fill(0x80);  // gives 0
    size_t byte = 0;
    for (size_t lane = 0; byte < kStep; ++lane) {
      const bool has_two = (upper_bits >> byte & 1) != 0;
      if (has_two && byte + 1 == kStep) break;
      shuffle[2 * lane] = static_cast<uint8_t>(byte++);
      if (has_two) shuffle[2 * lane + 1] = static_cast<uint8_t>(byte++);
    }
  }
  return shuffles;
}
alignas(64) constexpr std::array<Shuffle, 1 << kStep> kShuffles = MakeShuffles();

// An index is written as the offset of its part, in units of kOffsetUnit: the addressing mode of amd64 multiplies by
// it.
constexpr size_t kOffsetUnit = 8;
constexpr int kOffsetShift = std::countr_zero(sizeof(LocalHasher::Part) / kOffsetUnit);
static_assert(sizeof(LocalHasher::Part) == kOffsetUnit << kOffsetShift && 0x3fff << kOffsetShift <= UINT16_MAX);

struct PackedReader {
  uint16_t* out;                          // for kStep more than there are
  __m128i lanes = _mm_setzero_si128();    // all, or-ed
  __m128i highest = _mm_setzero_si128();  // index
};

// Returns the upper bits. If the bytes are varints of at most two bytes, there are kStep - popcount of them.
[[gnu::always_inline]] MI_CARRYLESS inline unsigned ReadStep(__m128i bytes, PackedReader& to) {
  const auto upper_bits = static_cast<unsigned>(_mm_movemask_epi8(bytes)) & 0xff;
  const __m128i lanes = _mm_shuffle_epi8(bytes, LoadBlock(kShuffles[upper_bits].data()));
  to.lanes = _mm_or_si128(to.lanes, lanes);
  // The lower byte of a lane, and 128 times the upper one.
  const __m128i indices =
      _mm_maddubs_epi16(_mm_set1_epi16(0x8001 - 0x10000), _mm_and_si128(lanes, _mm_set1_epi8(0x7f)));
  to.highest = _mm_max_epu16(to.highest, indices);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to.out), _mm_slli_epi16(indices, kOffsetShift));
  return upper_bits;
}

// False: not all are varints of at most two bytes.
[[gnu::always_inline]] MI_CARRYLESS inline bool ReadPacked(std::string_view packed, PackedReader& to) {
  constexpr std::array<uint8_t, 2 * kStep> kOnes = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  const char* at = packed.data();
  const char* const end = at + packed.size();
  if (static_cast<unsigned char>(end[-1]) >= 0x80) return false;  // cut short
  while (end - at >= ptrdiff_t{kStep}) {
    const unsigned upper_bits = ReadStep(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at)), to);
    to.out += kStep - static_cast<unsigned>(__builtin_popcount(upper_bits));
    at += kStep - (upper_bits >> (kStep - 1));
  }
  if (const auto left = static_cast<size_t>(end - at); left != 0) {
    const __m128i ones = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kOnes.data() + kStep - left));
    const __m128i bytes = _mm_and_si128(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at)), ones);
    to.out += left - static_cast<unsigned>(__builtin_popcount(ReadStep(bytes, to)));
  }
  return (_mm_movemask_epi8(to.lanes) & 0xaaaa) == 0;
}

MI_CARRYLESS Fingerprint PackedCarryless(const LocalHashKey& key, const Block& tenant,
                                         std::span<const LocalHasher::Part> parts, std::string_view packed,
                                         uint64_t& bytes) {
  std::array<uint16_t, LocalHasher::kMaxSequence + kStep> offsets;
  PackedReader reader{.out = offsets.data()};
  if (!ReadPacked(packed, reader)) return {};
  const auto count = static_cast<size_t>(reader.out - offsets.data());
  if (count % 2 != 0) return {};
  const __m128i lowest = _mm_minpos_epu16(_mm_xor_si128(reader.highest, _mm_set1_epi8(-1)));
  if (static_cast<uint16_t>(~_mm_cvtsi128_si32(lowest)) >= parts.size()) return {};
  const char* const base = reinterpret_cast<const char*>(parts.data());
  const auto part = [base](uint16_t offset) {
    return reinterpret_cast<const LocalHasher::Part*>(base + offset * kOffsetUnit);
  };
  const Block* k = key.blocks();
  __m128i even = _mm_setzero_si128();
  __m128i odd = _mm_setzero_si128();
  uint64_t size = 0;
  for (const uint16_t* at = offsets.data(); at != reader.out; at += 2, k += 2) {
    const LocalHasher::Part* const name = part(at[0]);
    const LocalHasher::Part* const value = part(at[1]);
    even = _mm_xor_si128(even, Product(LoadBlock(&name->hash), k[0]));
    odd = _mm_xor_si128(odd, Product(LoadBlock(&value->hash), k[1]));
    size += name->bytes + value->bytes;
  }
  bytes += size;
  return Finish(_mm_xor_si128(even, odd), count, kSequence, tenant, key.rounds());
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

Fingerprint LocalHasher::OfPacked([[maybe_unused]] std::span<const Part> parts, std::string_view packed,
                                  [[maybe_unused]] uint64_t& bytes) const {
  if (packed.empty() || packed.size() > kMaxSequence || key_.engine() != Engine::kCarryless) return {};
#ifdef __x86_64__
  return PackedCarryless(key_, tenant_, parts, packed, bytes);
#else
  return {};
#endif
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
