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
  // What the queue keeps in memory: a piece is freed as a whole.
  size_t held_bytes() const { return held_; }

  void Append(std::string_view piece) {
    if (pieces_.size() == first_ || pieces_.back().size() + piece.size() > kJoinBytes) {
      held_ += pieces_.emplace_back().capacity();
    }
    std::string& last = pieces_.back();
    held_ -= last.capacity();
    last.append(piece);
    held_ += last.capacity();
    bytes_ += piece.size();
  }
  void Take(std::string&& piece) {
    if (piece.size() < kJoinBytes / 4) return Append(std::string_view(piece));
    bytes_ += piece.size();
    pieces_.push_back(std::move(piece));
    held_ += pieces_.back().capacity();
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
      held_ -= pieces_[first_].capacity();
      std::string().swap(pieces_[first_++]);
    }
    if (bytes_ == 0) return Clear();
    if (first_ < kMaxWrittenPieces) return;
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<ptrdiff_t>(first_));
    first_ = 0;
  }

  void Clear() {
    pieces_.capacity() > kMaxWrittenPieces ? std::vector<std::string>().swap(pieces_) : pieces_.clear();
    first_ = offset_ = bytes_ = held_ = 0;
  }

 private:
  static constexpr size_t kMaxWrittenPieces = 64;  // a stream may never let the queue become empty

  std::vector<std::string> pieces_;
  size_t first_ = 0;   // pieces before it are written
  size_t offset_ = 0;  // of the first piece, written
  size_t bytes_ = 0;   // still to be written
  size_t held_ = 0;    // capacities of the pieces
};

}  // namespace mi::net
