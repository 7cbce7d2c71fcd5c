// Ids of dictionary rows in memory, bounded in bytes: two generations, the older of which is dropped when the younger
// is full, so that what is asked for stays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace mi::store {

// Threads: compatible. Whoever puts ids of rows in that are not committed yet must Clear() when they are rolled back.
class IdCache {
 public:
  explicit IdCache(size_t max_bytes) : generation_bytes_(max_bytes / 2) {}

  std::optional<uint64_t> Find(std::string_view key) {
    if (const auto young = young_.find(key); young != young_.end()) return young->second;
    const auto old = old_.find(key);
    if (old == old_.end()) return std::nullopt;
    const uint64_t id = old->second;
    Put(key, id);
    return id;
  }

  // A full young generation becomes the old one, and the old one is freed as a whole: no list of uses is kept, and a
  // Find costs at most three look-ups. A key stays as long as it is asked for once per generation.
  void Put(std::string_view key, uint64_t id) {
    if (bytes_ > generation_bytes_) {
      old_ = std::exchange(young_, {});
      bytes_ = 0;
    }
    if (young_.emplace(key, id).second) bytes_ += key.size() + kEntryBytes;
  }

  void Clear() {
    young_.clear();
    old_.clear();
    bytes_ = 0;
  }

  size_t size() const { return young_.size() + old_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view key) const { return std::hash<std::string_view>()(key); }
  };
  using Generation = std::unordered_map<std::string, uint64_t, Hash, std::equal_to<>>;
  static constexpr size_t kEntryBytes = 96;  // node, bucket, and the string's own allocation

  size_t generation_bytes_;
  size_t bytes_ = 0;  // of young_
  Generation young_;
  Generation old_;
};

}  // namespace mi::store
