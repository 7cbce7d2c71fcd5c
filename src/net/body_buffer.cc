#include "net/body_buffer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace mi::net {

Block BlockPool::Take(size_t capacity) {
  const auto found =
      std::find_if(free_.rbegin(), free_.rend(), [capacity](const Block& block) { return block.capacity >= capacity; });
  if (found != free_.rend()) {
    Block block = std::move(*found);
    free_.erase(std::next(found).base());
    kept_bytes_ -= block.capacity;
    return block;
  }
  const size_t rounded = std::bit_ceil(capacity);
  return {std::make_unique_for_overwrite<char[]>(rounded), rounded};
}

void BlockPool::Return(Block block) {
  if (block.bytes == nullptr || kept_bytes_ + block.capacity > kMaxKeptBytes) return;
  kept_bytes_ += block.capacity;
  free_.push_back(std::move(block));
}

bool BodyBuffer::Reserve(size_t size) {
  if (size <= reserved_) return true;
  if (!budget_.TryTake(size - reserved_)) return false;
  reserved_ = size;
  if (size <= block_.capacity) return true;
  Block larger = pool_.Take(size);
  if (size_ > 0) std::memcpy(larger.bytes.get(), block_.bytes.get(), size_);
  pool_.Return(std::exchange(block_, std::move(larger)));
  return true;
}

void BodyBuffer::Append(std::string_view bytes) {
  assert(bytes.size() <= room());
  if (bytes.empty()) return;
  std::memcpy(end(), bytes.data(), bytes.size());
  size_ += bytes.size();
}

void BodyBuffer::Clear() {
  budget_.GiveBack(std::exchange(reserved_, 0));
  pool_.Return(std::exchange(block_, {}));
  size_ = 0;
}

}  // namespace mi::net
