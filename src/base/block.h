// Memory for the bytes of requests, of which only as much is resident as was written to.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

namespace mi {

// Uninitialised memory. A large block comes from the kernel: it goes back there when the block is destroyed, and it
// grows and shrinks without a copy. In the allocator, large blocks of changing sizes would leave gaps that stay
// resident, and a budget that counts blocks would not bound the memory of the process.
// Threads: compatible. Errors: without memory the process ends, as with `new`.
class Block {
 public:
  static constexpr size_t kMappedBytes = 256 << 10;  // from here on a block comes from the kernel

  Block() = default;
  explicit Block(size_t capacity);
  static Block CopyOf(std::string_view bytes);
  Block(Block&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}
  Block& operator=(Block&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~Block();

  char* data() const { return data_; }  // null if the capacity is 0
  size_t capacity() const { return capacity_; }
  bool is_mapped() const { return capacity_ >= kMappedBytes; }

  // Keeps the bytes that fit. Requires: is_mapped(), capacity >= kMappedBytes.
  void Resize(size_t capacity);

 private:
  char* data_ = nullptr;
  size_t capacity_ = 0;
};

}  // namespace mi
