#include "catalog/series_set.h"

#include <roaring/roaring.h>

#include <array>
#include <bit>
#include <cstring>

#include "base/fatal.h"

namespace mi::catalog {
namespace {

static_assert(std::endian::native == std::endian::little, "the serialised bitmap is little-endian");

// CRoaring's portable format, without runs:
//   cookie | number of blocks | per block: key, size - 1 | per block: offset | the blocks
// A block is an array of 16-bit numbers or, if there are more than 4096, plain bits.
constexpr uint32_t kCookieWithoutRuns = 12346;
constexpr uint32_t kLargestArray = 4096;

struct Count {
  uint32_t key;
  uint32_t size;
  size_t bytes() const { return size > kLargestArray ? 8192 : size * sizeof(uint16_t); }
};

template <typename T>
char* Put(T value, char* at) {
  std::memcpy(at, &value, sizeof(value));
  return at + sizeof(value);
}

// The baseline of amd64 has no instruction that counts bits, and GCC's runtime function takes ten. GCC compiles this
// twice and chooses at the start. Clang does not: the sanitizers that it builds cannot run yet when it would choose.
#if defined(__x86_64__) && !defined(__clang__)
__attribute__((target_clones("popcnt", "default")))
#endif
uint32_t
CountBits(const uint64_t* words, size_t count) {
  uint32_t bits = 0;
  for (size_t i = 0; i < count; ++i) bits += static_cast<uint32_t>(std::popcount(words[i]));
  return bits;
}

char* PutArray(const uint64_t* words, size_t count, char* at) {
  for (size_t i = 0; i < count; ++i) {
    for (uint64_t word = words[i]; word != 0; word &= word - 1) {
      at = Put(static_cast<uint16_t>(i * 64 + static_cast<size_t>(std::countr_zero(word))), at);
    }
  }
  return at;
}

}  // namespace

void SeriesSet::Free::operator()(roaring_bitmap_s* bitmap) const { roaring_bitmap_free(bitmap); }

SeriesSet::SeriesSet(roaring_bitmap_s* owned) : bitmap_(owned) {
  if (owned == nullptr) OutOfMemory();
}
SeriesSet::SeriesSet() : SeriesSet(roaring_bitmap_create()) {}
SeriesSet::SeriesSet(const SeriesSet& other) : SeriesSet(roaring_bitmap_copy(other.bitmap_.get())) {}

SeriesSet SeriesSet::Range(uint64_t begin, uint64_t end) {
  if (begin >= end) return {};
  return SeriesSet(roaring_bitmap_from_range(begin, end, 1));
}

void SeriesSet::Add(Ordinal ordinal) { roaring_bitmap_add(bitmap_.get(), ordinal); }

SeriesSet& SeriesSet::operator&=(const SeriesSet& other) {
  if (this != &other) roaring_bitmap_and_inplace(bitmap_.get(), other.bitmap_.get());
  return *this;
}

SeriesSet& SeriesSet::operator|=(const SeriesSet& other) {
  if (this != &other) roaring_bitmap_or_inplace(bitmap_.get(), other.bitmap_.get());
  return *this;
}

SeriesSet& SeriesSet::operator-=(const SeriesSet& other) {
  if (this == &other) return *this = SeriesSet();
  roaring_bitmap_andnot_inplace(bitmap_.get(), other.bitmap_.get());
  return *this;
}

bool SeriesSet::empty() const { return roaring_bitmap_is_empty(bitmap_.get()); }
uint64_t SeriesSet::size() const { return roaring_bitmap_get_cardinality(bitmap_.get()); }
bool SeriesSet::Contains(Ordinal ordinal) const { return roaring_bitmap_contains(bitmap_.get(), ordinal); }
bool SeriesSet::Intersects(const SeriesSet& other) const {
  return roaring_bitmap_intersect(bitmap_.get(), other.bitmap_.get());
}
uint64_t SeriesSet::CountIn(const SeriesSet& other) const {
  return roaring_bitmap_and_cardinality(bitmap_.get(), other.bitmap_.get());
}
uint64_t SeriesSet::CountInRange(uint64_t begin, uint64_t end) const {
  return roaring_bitmap_range_cardinality(bitmap_.get(), begin, end);
}
bool SeriesSet::IntersectsRange(uint64_t begin, uint64_t end) const {
  roaring_uint32_iterator_t iterator;
  roaring_init_iterator(bitmap_.get(), &iterator);
  return roaring_move_uint32_iterator_equalorlarger(&iterator, static_cast<uint32_t>(begin)) &&
         iterator.current_value < end;
}

void SeriesSet::ForEach(const std::function<bool(Ordinal)>& visit) const {
  roaring_uint32_iterator_t iterator;
  roaring_init_iterator(bitmap_.get(), &iterator);
  std::array<uint32_t, 256> buffer;
  for (;;) {
    const uint32_t count = roaring_read_uint32_iterator(&iterator, buffer.data(), buffer.size());
    for (uint32_t i = 0; i < count; ++i) {
      if (!visit(buffer[i])) return;
    }
    if (count < buffer.size()) return;
  }
}

void SetBits(uint64_t* words, uint32_t begin, uint32_t count) {
  const uint32_t end = begin + count;
  for (uint32_t at = begin; at < end;) {
    const uint32_t bits = std::min(64 - at % 64, end - at);
    const uint64_t ones = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
    words[at / 64] |= ones << at % 64;
    at += bits;
  }
}

// Writes the set in CRoaring's portable format and lets the library read it: a block of plain bits is then copied, and
// not added number by number. The first pass counts, since the format begins with the sizes; empty blocks are left out,
// since it cannot say "size 0". Costs two passes over the words of each block. The bits, the serialised bytes and the
// bitmap are in memory at the same time.
SeriesSet SetBuilder::Build() const {
  std::vector<Count> counts;
  size_t bytes = 2 * sizeof(uint32_t);
  for (uint32_t key = 0; key < blocks_.size(); ++key) {
    if (blocks_[key] == nullptr) continue;
    const uint32_t size = CountBits(blocks_[key]->data(), blocks_[key]->size());
    if (size == 0) continue;
    counts.push_back({key, size});
    bytes += 2 * sizeof(uint32_t) + counts.back().bytes();
  }

  auto buffer = std::make_unique_for_overwrite<char[]>(bytes);
  char* at = Put(kCookieWithoutRuns, buffer.get());
  at = Put(static_cast<uint32_t>(counts.size()), at);
  for (const Count& count : counts) {
    at = Put(static_cast<uint16_t>(count.key), at);
    at = Put(static_cast<uint16_t>(count.size - 1), at);
  }
  auto offset = static_cast<uint32_t>(2 * sizeof(uint32_t) * (counts.size() + 1));
  for (const Count& count : counts) {
    at = Put(offset, at);
    offset += static_cast<uint32_t>(count.bytes());
  }
  for (const Count& count : counts) {
    const Block& block = *blocks_[count.key];
    if (count.size <= kLargestArray) {
      at = PutArray(block.data(), block.size(), at);
    } else {
      std::memcpy(at, block.data(), sizeof(block));
      at += sizeof(block);
    }
  }
  return SeriesSet(roaring_bitmap_portable_deserialize_safe(buffer.get(), bytes));
}

}  // namespace mi::catalog
