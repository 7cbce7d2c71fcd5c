// Bytes that a connection has to write. Small pieces are joined; large ones are moved in and never copied.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mi::net {

// Threads: confined to one.
class OutputQueue {
 public:
  static constexpr size_t kJoinBytes = 16 << 10;

  bool empty() const { return bytes_ == 0; }
  size_t bytes() const { return bytes_; }

  void Append(std::string_view piece) {
    if (pieces_.size() == first_ || pieces_.back().size() + piece.size() > kJoinBytes) pieces_.emplace_back();
    pieces_.back().append(piece);
    bytes_ += piece.size();
  }
  void Take(std::string&& piece) {
    if (piece.size() < kJoinBytes / 4) return Append(std::string_view(piece));
    bytes_ += piece.size();
    pieces_.push_back(std::move(piece));
  }

  // The first few pieces, for one vectored write. Unused entries are empty.
  std::array<std::string_view, 8> Front() const {
    std::array<std::string_view, 8> front;
    for (size_t i = 0; i < front.size() && first_ + i < pieces_.size(); ++i) front[i] = pieces_[first_ + i];
    front[0].remove_prefix(offset_);
    return front;
  }

  // Drops `count` bytes from the front. Requires: count <= bytes().
  void Written(size_t count) {
    assert(count <= bytes_);
    bytes_ -= count;
    offset_ += count;
    while (first_ < pieces_.size() && offset_ >= pieces_[first_].size()) {
      offset_ -= pieces_[first_].size();
      std::string().swap(pieces_[first_++]);
    }
    if (bytes_ == 0) Clear();
  }

  void Clear() {
    pieces_.clear();
    first_ = offset_ = bytes_ = 0;
  }

 private:
  std::vector<std::string> pieces_;
  size_t first_ = 0;   // pieces before it are written
  size_t offset_ = 0;  // of the first piece, written
  size_t bytes_ = 0;   // still to be written
};

}  // namespace mi::net
