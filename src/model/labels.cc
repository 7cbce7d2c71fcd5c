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

// Most names differ in their first byte.
bool IsLess(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty() || a.front() == b.front()) return a < b;
  return static_cast<unsigned char>(a.front()) < static_cast<unsigned char>(b.front());
}

size_t InsideSize(const Label& label) {
  return 2 + VarintSize(label.name.size()) + label.name.size() + VarintSize(label.value.size()) + label.value.size();
}

}  // namespace

// Each length is compared with the bytes that are left before the position moves, so damaged bytes are never followed
// outside the buffer. The value must end exactly where the message ends. The order of labels is not checked here;
// ExamineCanonical does that.
const char* ReadLongLabel(const char* at, const char* end, Label& label) {
  std::string_view message;
  const char* next = ReadField(kLabelTag, at, end, message);
  if (next == nullptr) return nullptr;
  const char* inside = ReadField(kNameTag, message.data(), next, label.name);
  if (inside == nullptr || ReadField(kValueTag, inside, next, label.value) != next) return nullptr;
  return next;
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

std::optional<LabelsShape> ExamineCanonical(std::string_view bytes) {
  LabelsShape shape;
  const char* at = bytes.data();
  const char* end = at + bytes.size();
  std::string_view before;
  while (at != end) {
    Label label;
    at = ReadLabel(at, end, label);
    if (at == nullptr || label.value.empty() || !IsLess(before, label.name)) return std::nullopt;
    before = label.name;
    ++shape.labels;
    shape.longest_name = std::max(shape.longest_name, label.name.size());
    shape.longest_value = std::max(shape.longest_value, label.value.size());
    shape.has_metric_name = shape.has_metric_name || label.name == kMetricName;
  }
  return shape;
}

}  // namespace mi::model
