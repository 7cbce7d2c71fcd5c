// The format (google/snappy, format_description.txt): the decoded size as a varint, then elements. The lowest two bits
// of an element's first byte say what it is:
//
//   00  literal   upper 6 bits: length - 1 if below 60; 60 to 63: it follows in 1 to 4 bytes. Then the bytes.
//   01  copy      3 bits: length - 4; 3 bits and 1 byte: distance
//   10  copy      6 bits: length - 1; 2 bytes: distance
//   11  copy      6 bits: length - 1; 4 bytes: distance
//
// A copy repeats bytes that were decoded before. It may overlap itself: a distance of 1 and a length of 9 write one
// byte nine times.
//
// Usual bodies consist of short elements, 15 per series, so the cost is in the elements and not in the bytes. The fast
// loop therefore moves 64 bytes for every element, whatever its length, and checks bounds once per element:
//   - it runs while at least kMargin bytes of input are left, so an element's head and 64 bytes can be read;
//   - the output has kSnappySlack bytes of room behind its end, so 64 bytes can be written at any position;
//   - a byte that is written too much is written again by the next element, or is beyond the end.
// What is left of the input is decoded by the careful loop, which reads no byte that it has not checked.
//
// The fast loop is compiled twice: with vectors of 32 bytes for processors that have AVX2, and of 16 bytes for others.
#include "codec/snappy_decoder.h"

#include <algorithm>
#include <cstring>

#include "codec/wire.h"

namespace mi::codec {
namespace {

using Byte = unsigned char;

// May be unaligned, and may overlap what is written through another pointer: so a store is never moved before a load
// that comes first in the code. In structs, because a template argument would lose the attributes.
struct Bytes16 {
  using Vector [[gnu::vector_size(16), gnu::aligned(1), gnu::may_alias]] = uint64_t;
};
struct Bytes32 {
  using Vector [[gnu::vector_size(32), gnu::aligned(1), gnu::may_alias]] = uint64_t;
};

constexpr size_t kStep = sizeof(Bytes16::Vector);
constexpr ptrdiff_t kMargin = 1 + 64;

constexpr unsigned kShortLiteral = 60;  // longer literals have their length in bytes of their own

enum Kind : unsigned { kLiteral = 0, kCopy1 = 1, kCopy2 = 2, kCopy4 = 3 };

template <typename Bytes>
[[gnu::always_inline]] inline void Move(const Byte* from, Byte* to) {
  using Vector = typename Bytes::Vector;
  *reinterpret_cast<Vector*>(to) = *reinterpret_cast<const Vector*>(from);
}

// Written out, because GCC leaves a loop of two steps. Requires: `from` is 32 bytes or more before `to`, or elsewhere.
template <typename Bytes>
[[gnu::always_inline]] inline void Move64(const Byte* from, Byte* to) {
  Move<Bytes>(from, to);
  if constexpr (sizeof(typename Bytes::Vector) == 16) {
    Move<Bytes>(from + 16, to + 16);
    Move<Bytes>(from + 48, to + 48);
  }
  Move<Bytes>(from + 32, to + 32);
}

// A copy whose distance is below 32. Distances below a step are doubled until they reach it: what was just written is
// the same pattern, twice as long.
void CopyNear(Byte* out, size_t distance, size_t length) {
  const Byte* const end = out + length;
  while (distance < kStep) {
    Move<Bytes16>(out - distance, out);
    if (static_cast<size_t>(end - out) <= distance) return;
    out += distance;
    distance *= 2;
  }
  for (; out < end; out += kStep) Move<Bytes16>(out - distance, out);
}

// Where decoding is.
struct Position {
  const Byte* in;
  const Byte* const in_end;
  Byte* out;
  Byte* const out_begin;
  Byte* const out_end;
};

// Requires: length <= kSnappySlack.
[[gnu::always_inline]] inline bool Copy(Position& at, size_t distance, size_t length) {
  if (distance - 1 >= static_cast<size_t>(at.out - at.out_begin)) return false;
  if (length > static_cast<size_t>(at.out_end - at.out)) return false;
  if (distance >= 32) [[likely]] {
    Move64<Bytes16>(at.out - distance, at.out);
  } else {
    CopyNear(at.out, distance, length);
  }
  at.out += length;
  return true;
}

// One element, with every byte checked before it is read. False: the body is malformed.
bool DecodeElement(Position& at) {
  const Byte tag = *at.in++;
  const auto left = [&] { return static_cast<size_t>(at.in_end - at.in); };
  if ((tag & 3U) == kLiteral) {
    uint64_t length = (tag >> 2U) + 1U;
    if (length > kShortLiteral) {
      const size_t bytes = length - kShortLiteral;
      if (bytes > left()) return false;
      uint32_t wide = 0;
      std::memcpy(&wide, at.in, bytes);
      at.in += bytes;
      length = uint64_t{wide} + 1;
    }
    if (length > left() || length > static_cast<size_t>(at.out_end - at.out)) return false;
    at.out = std::copy_n(at.in, length, at.out);
    at.in += length;
    return true;
  }
  constexpr size_t kBytes[] = {0, 1, 2, 4};  // of the distance
  const size_t bytes = kBytes[tag & 3U];
  if (bytes > left()) return false;
  uint32_t distance = 0;
  std::memcpy(&distance, at.in, bytes);
  at.in += bytes;
  if ((tag & 3U) == kCopy1) return Copy(at, distance | (tag & 0xe0U) << 3U, ((tag >> 2U) & 7U) + 4U);
  return Copy(at, distance, (tag >> 2U) + 1U);
}

// The fast loop keeps its position in two local variables, because what a function gets a reference to would be stored
// and loaded again for every element. Calls that need the position get a copy. Each kind of element has code of its
// own, the most frequent one first. The branches are mostly predicted: a table of lengths and distances, without
// branches, makes each element wait for the one before, and takes nearly twice as long.
template <typename Bytes>
[[gnu::always_inline]] inline bool DecodeBy(const char* begin, const char* end, char* to, size_t size) {
  Position at{.in = reinterpret_cast<const Byte*>(begin),
              .in_end = reinterpret_cast<const Byte*>(end),
              .out = reinterpret_cast<Byte*>(to),
              .out_begin = reinterpret_cast<Byte*>(to),
              .out_end = reinterpret_cast<Byte*>(to) + size};
  const Byte* in = at.in;
  const Byte* const last = at.in_end - std::min(kMargin, at.in_end - in);  // the last position of the fast loop
  const Byte* const out_begin = at.out;
  const Byte* const out_end = at.out_end;
  Byte* out = at.out;
  const auto copy = [&](size_t distance, size_t length, auto move) __attribute__((always_inline)) {
    if (distance > static_cast<size_t>(out - out_begin)) [[unlikely]]
      return false;
    if (distance >= 32) [[likely]] {
      move(out - distance, out);
    } else {
      if (distance == 0 || length > static_cast<size_t>(out_end - out)) return false;
      CopyNear(out, distance, length);
    }
    out += length;
    return out <= out_end;
  };
  while (in < last) {
    const unsigned tag = *in;
    const size_t length = (tag >> 2U) + 1U;
    if ((tag & 3U) == kCopy2) {
      const size_t distance = wire::Load<uint16_t>(reinterpret_cast<const char*>(in) + 1);
      in += 3;
      if (!copy(distance, length, Move64<Bytes>)) [[unlikely]]
        return false;
    } else if ((tag & 3U) == kLiteral && length <= kShortLiteral) {
      Move64<Bytes>(in + 1, out);
      in += 1 + length;
      out += length;
      if (out > out_end) [[unlikely]]
        return false;
    } else if ((tag & 3U) == kCopy1) {
      const size_t distance = in[1] | (tag & 0xe0U) << 3U;
      in += 2;
      if (!copy(distance, ((tag >> 2U) & 7U) + 4U, Move<Bytes16>)) [[unlikely]]
        return false;
    } else {
      Position slow{in, at.in_end, out, at.out_begin, at.out_end};
      if (!DecodeElement(slow)) return false;
      in = slow.in;
      out = slow.out;
    }
  }
  at.in = in;
  at.out = out;
  while (at.in != at.in_end) {
    if (!DecodeElement(at)) return false;
  }
  return at.out == at.out_end;
}

bool DecodePortable(const char* begin, const char* end, char* to, size_t size) {
  return DecodeBy<Bytes16>(begin, end, to, size);
}

#ifdef __x86_64__
[[gnu::target("avx2")]] bool DecodeAvx2(const char* begin, const char* end, char* to, size_t size) {
  return DecodeBy<Bytes32>(begin, end, to, size);
}
#else
constexpr auto DecodeAvx2 = DecodePortable;
#endif

// The varint of the decoded size; null if there is none. Like libsnappy, it may be padded, but not above 32 bits.
const char* ReadSize(std::string_view body, uint32_t& size) {
  uint64_t wide = 0;
  const char* const end = body.data() + std::min<size_t>(body.size(), 5);
  const char* const next = wire::ReadLongVarint(body.data(), end, wide);
  size = static_cast<uint32_t>(wide);
  return wide > UINT32_MAX ? nullptr : next;
}

}  // namespace

std::optional<uint32_t> SnappySize(std::string_view body) {
  uint32_t size = 0;
  if (ReadSize(body, size) == nullptr) return std::nullopt;
  return size;
}

SnappyEngine BestSnappyEngine() {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2")) return SnappyEngine::kAvx2;
#endif
  return SnappyEngine::kPortable;
}

bool UncompressSnappy(std::string_view body, char* out, SnappyEngine engine) {
  uint32_t size = 0;
  const char* const begin = ReadSize(body, size);
  if (begin == nullptr) return false;
  const auto decode = engine == SnappyEngine::kAvx2 ? DecodeAvx2 : DecodePortable;
  return decode(begin, body.data() + body.size(), out, size);
}

}  // namespace mi::codec
