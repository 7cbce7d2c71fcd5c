// Sorts the labels of one series. Internal to this room.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace mi::codec {

// Insertion sort, one label at a time: senders append a few labels to a sorted list, so there is little to move. The
// entries stay where they are; ranks_ is what is sorted. Names are compared by their first 8 bytes as a number
// (OrderOf), and only if these are equal byte by byte.
// Threads: confined to one.
template <typename Payload>
class LabelSorter {
 public:
  static constexpr size_t kMaxLabels = 64;  // insertion sort would be too slow for more

  void Clear() {
    size_ = 0;
    tied_bytes_ = 0;
    repeated_ = false;
    was_sorted_ = true;
  }

  // `order`: OrderOf(name). False: too many labels.
  bool Add(uint64_t order, std::string_view name, Payload payload) {
    if (size_ == kMaxLabels) return false;
    entries_[size_] = {order, name, payload};
    size_t at = size_;
    while (at > 0 && IsBefore(entries_[size_], entries_[ranks_[at - 1]])) {
      ranks_[at] = ranks_[at - 1];
      --at;
    }
    repeated_ |= at > 0 && entries_[ranks_[at - 1]].name == name;
    was_sorted_ &= at == size_;
    ranks_[at] = static_cast<uint8_t>(size_++);
    return true;
  }

  size_t size() const { return size_; }
  const Payload& operator[](size_t rank) const { return entries_[ranks_[rank]].payload; }
  bool has_repeated_name() const { return repeated_; }
  bool was_sorted() const { return was_sorted_; }
  size_t tied_bytes() const { return tied_bytes_; }  // of names that were compared byte by byte

 private:
  struct Entry {
    uint64_t order;
    std::string_view name;
    Payload payload;
  };
  bool IsBefore(const Entry& a, const Entry& b) {
    if (a.order != b.order) return a.order < b.order;
    tied_bytes_ += a.name.size();
    return a.name < b.name;
  }

  std::array<Entry, kMaxLabels> entries_;
  std::array<uint8_t, kMaxLabels> ranks_;
  size_t size_ = 0;
  size_t tied_bytes_ = 0;
  bool repeated_ = false;
  bool was_sorted_ = true;
};

}  // namespace mi::codec
