// Bytes that a connection has received and not parsed yet.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "net/body_buffer.h"

namespace mi::net {

// Takes a block from the pool of its thread when something arrives. Threads: confined to one.
class InputBuffer {
 public:
  explicit InputBuffer(BlockPool& pool) : pool_(pool) {}
  InputBuffer(const InputBuffer&) = delete;
  InputBuffer& operator=(const InputBuffer&) = delete;
  ~InputBuffer() { Clear(); }

  bool empty() const { return begin_ == end_; }
  std::string_view view() const { return {block_.data() + begin_, end_ - begin_}; }
  size_t held_bytes() const { return block_.capacity(); }

  // Drops `count` bytes from the front. Requires: count <= view().size().
  void Drop(size_t count) {
    assert(count <= end_ - begin_);
    begin_ += count;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  // Drops everything, and gives the block back.
  void Clear() {
    pool_.Return(std::exchange(block_, {}));
    begin_ = end_ = 0;
  }

  // Makes room behind the bytes: moves them to the front, or else into a block of twice the size. Returns false if they
  // fill a block and are more than `max_bytes`.
  bool MakeRoom(size_t max_bytes) {
    if (block_.data() == nullptr || end_ < block_.capacity()) return true;
    const size_t size = end_ - begin_;
    if (begin_ > 0) {
      std::memmove(block_.data(), block_.data() + begin_, size);
    } else {
      if (size > max_bytes) return false;
      Block larger = pool_.Take(block_.capacity() * 2);
      std::memcpy(larger.data(), block_.data(), size);
      pool_.Return(std::exchange(block_, std::move(larger)));
    }
    begin_ = 0;
    end_ = size;
    return true;
  }
  // The room behind the bytes.
  std::span<char> room() {
    if (block_.data() == nullptr) block_ = pool_.Take(kFirstBytes);
    return {block_.data() + end_, block_.capacity() - end_};
  }
  // Bytes were written into room(). Requires: by <= room().size().
  void Grew(size_t by) {
    assert(by <= block_.capacity() - end_);
    end_ += by;
  }

 private:
  static constexpr size_t kFirstBytes = 16 << 10;

  BlockPool& pool_;
  Block block_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace mi::net
