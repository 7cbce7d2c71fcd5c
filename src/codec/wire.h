// Protobuf's wire format, read in place. Internal to this room.
//
// Every function returns the position after what it read, or null if the bytes are not protobuf: truncated, a group, a
// field number of 0 or of the reserved range, a varint of more than 10 bytes.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace mi::codec::wire {

static_assert(std::endian::native == std::endian::little, "fixed-width fields are loaded without a swap");

enum class Type : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// One field of a message. `scalar` holds varints and fixed widths, `bytes` the rest.
struct Field {
  uint32_t number = 0;
  Type type = Type::kVarint;
  uint64_t scalar = 0;
  std::string_view bytes;

  bool Is(uint32_t wanted_number, Type wanted_type) const { return number == wanted_number && type == wanted_type; }
};

constexpr unsigned char Tag(uint32_t number, Type type) {
  return static_cast<unsigned char>(number << 3 | static_cast<uint32_t>(type));
}

template <typename T>
inline T Load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

inline const char* ReadLongVarint(const char* at, const char* end, uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; at < end && shift < 70; shift += 7) {
    const auto byte = static_cast<unsigned char>(*at++);
    value |= static_cast<uint64_t>(byte & 0x7fU) << shift;
    if (byte < 0x80) return at;
  }
  return nullptr;
}

// Always inlined: the compiler would call it in some of the loops, which costs 40 instructions per series of 2.0.
[[gnu::always_inline]] inline const char* ReadVarint(const char* at, const char* end, uint64_t& value) {
  if (at < end && static_cast<unsigned char>(*at) < 0x80) {
    value = static_cast<unsigned char>(*at);
    return at + 1;
  }
  return ReadLongVarint(at, end, value);
}

// The same, for numbers that mostly have one or two bytes.
[[gnu::always_inline]] inline const char* ReadShortVarint(const char* at, const char* end, uint64_t& value) {
  if (end - at >= 2) {
    const auto low = static_cast<unsigned char>(at[0]);
    const auto high = static_cast<unsigned char>(at[1]);
    if (low < 0x80) return value = low, at + 1;
    if (high < 0x80) return value = (low & 0x7fU) | static_cast<uint64_t>(high) << 7, at + 2;
  }
  return ReadVarint(at, end, value);
}

// Length and bytes, after the tag.
inline const char* ReadBytes(const char* at, const char* end, std::string_view& bytes) {
  uint64_t size = 0;
  at = ReadShortVarint(at, end, size);
  if (at == nullptr || size > static_cast<uint64_t>(end - at)) return nullptr;
  bytes = {at, static_cast<size_t>(size)};
  return at + size;
}

// Any field, tag included.
inline const char* ReadField(const char* at, const char* end, Field& field) {
  uint64_t tag = 0;
  at = ReadVarint(at, end, tag);
  if (at == nullptr || tag > UINT32_MAX) return nullptr;
  field.number = static_cast<uint32_t>(tag >> 3);
  if (field.number == 0 || (field.number >= 19000 && field.number <= 19999)) return nullptr;
  field.type = static_cast<Type>(tag & 7);
  switch (field.type) {
    case Type::kVarint: return ReadVarint(at, end, field.scalar);
    case Type::kBytes: return ReadBytes(at, end, field.bytes);
    case Type::kFixed64:
      if (end - at < 8) return nullptr;
      field.scalar = Load<uint64_t>(at);
      return at + 8;
    case Type::kFixed32:
      if (end - at < 4) return nullptr;
      field.scalar = Load<uint32_t>(at);
      return at + 4;
  }
  return nullptr;  // groups and unknown types
}

// Iterates over the fields of a message: while (reader.Next()) … reader.field() …; then reader.ok() is false if the
// message is broken.
class FieldReader {
 public:
  explicit FieldReader(std::string_view message) : at_(message.data()), end_(at_ + message.size()) {}

  bool Next() {
    if (at_ == nullptr || at_ == end_) return false;
    at_ = ReadField(at_, end_, field_);
    return at_ != nullptr;
  }
  const Field& field() const { return field_; }
  bool ok() const { return at_ != nullptr; }

 private:
  const char* at_;
  const char* end_;
  Field field_;
};

inline int64_t ZigZag(uint64_t value) { return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1); }

inline double AsDouble(uint64_t bits) { return std::bit_cast<double>(bits); }

// A packed or unpacked repeated varint: calls `take` with each value. False: the wrong type, or truncated.
template <typename Take>
bool ReadRepeatedVarint(const Field& field, Take&& take) {
  if (field.type == Type::kVarint) return take(field.scalar), true;
  if (field.type != Type::kBytes) return false;
  const char* end = field.bytes.data() + field.bytes.size();
  for (const char* at = field.bytes.data(); at != end;) {
    uint64_t value = 0;
    at = ReadVarint(at, end, value);
    if (at == nullptr) return false;
    take(value);
  }
  return true;
}

template <typename Take>
bool ReadRepeatedDouble(const Field& field, Take&& take) {
  if (field.type == Type::kFixed64) return take(AsDouble(field.scalar)), true;
  if (field.type != Type::kBytes || field.bytes.size() % 8 != 0) return false;
  for (size_t at = 0; at < field.bytes.size(); at += 8) take(AsDouble(Load<uint64_t>(field.bytes.data() + at)));
  return true;
}

}  // namespace mi::codec::wire
