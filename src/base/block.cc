#include "base/block.h"

#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <new>

namespace mi {
namespace {

// ThreadSanitizer follows mmap and munmap, but not mremap: it takes the next owner of an address for a second writer.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MI_THREAD_SANITIZER 1
#endif
#endif
#if defined(MI_THREAD_SANITIZER) || defined(__SANITIZE_THREAD__)
constexpr bool kSeesMremap = false;
#else
constexpr bool kSeesMremap = true;
#endif

char* Checked(void* mapped) {
  if (mapped != MAP_FAILED) return static_cast<char*>(mapped);
  if (const std::new_handler handler = std::get_new_handler()) handler();
  std::abort();
}

}  // namespace

Block::Block(size_t capacity) : capacity_(capacity) {
  if (is_mapped()) {
    data_ = Checked(mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  } else if (capacity > 0) {
    data_ = static_cast<char*>(::operator new(capacity));
  }
}

Block Block::CopyOf(std::string_view bytes) {
  Block copy(bytes.size());
  if (!bytes.empty()) std::memcpy(copy.data_, bytes.data(), bytes.size());
  return copy;
}

Block::~Block() { is_mapped() ? void(munmap(data_, capacity_)) : ::operator delete(data_); }

void Block::Resize(size_t capacity) {
  assert(is_mapped() && capacity >= kMappedBytes);
  if constexpr (kSeesMremap) {
    data_ = Checked(mremap(data_, capacity_, capacity, MREMAP_MAYMOVE));
    capacity_ = capacity;
  } else {
    Block resized(capacity);
    std::memcpy(resized.data_, data_, std::min(capacity_, capacity));
    *this = std::move(resized);
  }
}

}  // namespace mi
