#include "model/labels.h"

#include <algorithm>
#include <vector>

#include "base/format.h"
#include "base/varint.h"

namespace mi::model {
namespace {

constexpr char kLabelTag = 0x0a;
constexpr char kNameTag = 0x0a;
constexpr char kValueTag = 0x12;

// Reads a minimal varint of at most 5 bytes and returns the position after it; null if there is none at `at`.
const char* ReadVarint(const char* at, const char* end, uint64_t& value) {
  value = 0;
  for (int shift = 0; at < end && shift < 35; shift += 7) {
    const auto byte = static_cast<unsigned char>(*at++);
    value |= uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return (byte == 0 && shift > 0) ? nullptr : at;
  }
  return nullptr;
}

const char* ReadField(char tag, const char* at, const char* end, std::string_view& field) {
  if (at == end || *at != tag) return nullptr;
  uint64_t size = 0;
  at = ReadVarint(at + 1, end, size);
  if (at == nullptr || size > static_cast<uint64_t>(end - at)) return nullptr;
  field = {at, static_cast<size_t>(size)};
  return at + size;
}

// ReadLabel for a label whose lengths take one byte each, as nearly all do; null for any other bytes. The name and the
// value are inside of the message, which is inside of the buffer, so no byte outside is read.
const char* ReadShortLabel(const char* at, const char* end, Label& label) {
  constexpr size_t kEmptyLabel = 6;
  const auto left = static_cast<size_t>(end - at);
  if (left < kEmptyLabel || at[0] != kLabelTag || at[2] != kNameTag) return nullptr;
  const size_t message = static_cast<unsigned char>(at[1]);
  const size_t name = static_cast<unsigned char>(at[3]);
  if (message >= 0x80 || message > left - 2 || name + 4 > message || at[4 + name] != kValueTag) return nullptr;
  const size_t value = static_cast<unsigned char>(at[5 + name]);
  if (name + 4 + value != message) return nullptr;
  label = {{at + 4, name}, {at + 6 + name, value}};
  return at + 2 + message;
}

// The position after the label at `at`; null if there is no canonical label.
//
//   0a len  0a len name  12 len value
//   |       |------ message --------|  the value must end exactly where the message ends
//
// Each length is compared with the bytes that are left before the position moves, so damaged bytes are never followed
// outside the buffer. The order of labels is not checked here; IsCanonical does that.
const char* ReadLabel(const char* at, const char* end, Label& label) {
  if (const char* after = ReadShortLabel(at, end, label)) return after;
  std::string_view message;
  const char* next = ReadField(kLabelTag, at, end, message);
  if (next == nullptr) return nullptr;
  const char* inside = ReadField(kNameTag, message.data(), next, label.name);
  if (inside == nullptr || ReadField(kValueTag, inside, next, label.value) != next) return nullptr;
  return next;
}

size_t InsideSize(const Label& label) {
  return 2 + VarintSize(label.name.size()) + label.name.size() + VarintSize(label.value.size()) + label.value.size();
}

}  // namespace

LabelsView::iterator& LabelsView::iterator::operator++() {
  at_ = next_;
  if (at_ == end_) return *this;
  next_ = ReadLabel(at_, end_, label_);
  if (next_ == nullptr) at_ = next_ = end_;
  return *this;
}

std::string_view LabelsView::Get(std::string_view name) const {
  for (const Label& label : *this) {
    if (label.name == name) return label.value;
    if (label.name > name) break;
  }
  return {};
}

size_t CanonicalSize(Label label) {
  const size_t inside = InsideSize(label);
  return 1 + VarintSize(inside) + inside;
}

void AppendCanonical(Label label, std::string& out) {
  const size_t inside = InsideSize(label);
  out.push_back(kLabelTag);
  AppendVarint(inside, out);
  out.push_back(kNameTag);
  AppendVarint(label.name.size(), out);
  out.append(label.name);
  out.push_back(kValueTag);
  AppendVarint(label.value.size(), out);
  out.append(label.value);
}

Status Normalize(std::vector<Label>& labels) {
  std::ranges::sort(labels, {}, &Label::name);
  if (!labels.empty() && labels.front().name.empty()) return Fail(Errc::kInvalid, "a label has an empty name");
  const auto twice = std::ranges::adjacent_find(labels, {}, &Label::name);
  if (twice != labels.end()) {
    return Fail(Errc::kInvalid, format("label name \"{}\" occurs twice", twice->name));
  }
  std::erase_if(labels, [](const Label& label) { return label.value.empty(); });
  return {};
}

Result<Labels> Labels::FromUnsorted(std::span<const Label> labels) {
  std::vector<Label> sorted(labels.begin(), labels.end());
  TRY(Normalize(sorted));
  std::string bytes;
  for (const Label& label : sorted) AppendCanonical(label, bytes);
  return Labels(std::move(bytes));
}

bool IsCanonical(std::string_view bytes) {
  const char* at = bytes.data();
  const char* end = at + bytes.size();
  std::string_view before;
  while (at != end) {
    Label label;
    at = ReadLabel(at, end, label);
    if (at == nullptr || label.value.empty() || label.name <= before) return false;
    before = label.name;
  }
  return true;
}

}  // namespace mi::model
