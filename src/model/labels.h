// The label set of one series, in the one form that everything hashes, stores and sends.
//
// Canonical bytes: the labels sorted by the bytes of their names, each as a field 1 of remote write 1.0's TimeSeries:
// 0x0a len 0x0a len name 0x12 len value, minimal varints, no empty names or values, no name twice
// (docs/formats/identity.md).
#pragma once

#include <cstddef>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/utf8.h"

namespace mi::model {

inline constexpr std::string_view kMetricName = "__name__";

// Borrowed: valid as long as the bytes that it points to.
struct Label {
  std::string_view name;
  std::string_view value;
  friend bool operator==(const Label&, const Label&) = default;
};

// Reads the canonical label at `at`. Returns the position after the label, or null if there is none. Never reads beyond
// `end`.
const char* ReadLongLabel(const char* at, const char* end, Label& label);

// The same, inline for a label whose lengths take one byte each, as nearly all do. It checks that the name and the
// value are inside the message, and the message inside the bytes:
//
//   0a message 0a name ... 12 value ...
inline const char* ReadLabel(const char* at, const char* end, Label& label) {
  constexpr size_t kEmptyLabel = 6;
  const auto left = static_cast<size_t>(end - at);
  if (left < kEmptyLabel) return nullptr;
  const auto byte = [at](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(at[i])); };
  const size_t message = byte(1);
  const size_t name = byte(3);
  if (at[0] != 0x0a || at[2] != 0x0a || message >= 0x80 || message > left - 2 || name + 4 > message ||
      at[4 + name] != 0x12 || name + 4 + byte(5 + name) != message) {
    return ReadLongLabel(at, end, label);
  }
  label = {{at + 4, name}, {at + 6 + name, message - 4 - name}};
  return at + 2 + message;
}

// Iterates over canonical bytes that somebody else owns. It is a value that may be copied; it is valid as long as the
// bytes. If the bytes are not canonical, iteration ends early; it never reads outside them.
class LabelsView {
 public:
  class iterator {
   public:
    using value_type = Label;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::forward_iterator_tag;
    iterator() = default;
    const Label& operator*() const { return label_; }
    const Label* operator->() const { return &label_; }
    iterator& operator++() {
      at_ = next_;
      if (at_ != end_) Read();
      return *this;
    }
    iterator operator++(int) {
      iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const iterator& a, const iterator& b) { return a.at_ == b.at_; }

   private:
    friend class LabelsView;
    iterator(const char* at, const char* end) : next_(at), end_(end) { ++*this; }
    void Read() {
      next_ = ReadLabel(at_, end_, label_);
      if (next_ == nullptr) at_ = next_ = end_;
    }
    const char* at_ = nullptr;    // the start of label_; end_ after the last label
    const char* next_ = nullptr;  // the byte after label_
    const char* end_ = nullptr;
    Label label_;
  };

  LabelsView() = default;
  explicit LabelsView(std::string_view canonical) : bytes_(canonical) {}

  iterator begin() const { return {bytes_.data(), bytes_.data() + bytes_.size()}; }
  iterator end() const { return {bytes_.data() + bytes_.size(), bytes_.data() + bytes_.size()}; }
  bool empty() const { return bytes_.empty(); }
  size_t CountLabels() const { return static_cast<size_t>(std::distance(begin(), end())); }

  // The value of `name`; '' if there is no such label (an absent label and an empty one are the same).
  std::string_view Get(std::string_view name) const;
  std::string_view metric_name() const { return Get(kMetricName); }
  std::string_view canonical() const { return bytes_; }

  friend bool operator==(const LabelsView& a, const LabelsView& b) { return a.bytes_ == b.bytes_; }

 private:
  std::string_view bytes_;
};

// Owns the canonical bytes of a label set.
class Labels {
 public:
  Labels() = default;

  // Normalizes and encodes. Checks neither UTF-8 nor limits. Errors: as Normalize.
  static Result<Labels> FromUnsorted(std::span<const Label> labels);

  LabelsView view() const { return LabelsView(bytes_); }
  const std::string& canonical() const { return bytes_; }
  friend bool operator==(const Labels&, const Labels&) = default;

 private:
  explicit Labels(std::string bytes) : bytes_(std::move(bytes)) {}
  std::string bytes_;
};

// Sorts the labels by the bytes of their names and removes those with an empty value. kInvalid: an empty name, or a
// name that occurs twice (also if one of its values is empty).
Status Normalize(std::vector<Label>& labels);

// Appends the canonical bytes of one label. The caller is responsible for the order.
void AppendCanonical(Label label, std::string& out);

// The number of bytes that AppendCanonical appends.
size_t CanonicalSize(Label label);

// What limits apply to.
struct LabelsShape {
  size_t labels = 0;         // how many
  size_t longest_name = 0;   // bytes
  size_t longest_value = 0;  // bytes
  bool has_metric_name = false;
};
// Returns nothing if the bytes are not exactly canonical. For bytes from a disk or a peer.
std::optional<LabelsShape> ExamineCanonical(std::string_view bytes);
inline bool IsCanonical(std::string_view bytes) { return ExamineCanonical(bytes).has_value(); }

using mi::IsValidUtf8;  // names and values must be valid UTF-8

}  // namespace mi::model
