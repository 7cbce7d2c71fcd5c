// Snapshots of the seen table. The input is tried as the file itself. Random bytes never have valid checksums, so the
// input also chooses the content of a file with valid ones: the fields of the header, and number, length and clocks of
// shards.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dedupe/seen_set.h"
#include "dedupe/seen_snapshot.h"

namespace {

using namespace mi::dedupe;

void Check(bool holds) {
  if (!holds) std::abort();
}

// A file without a name, reached through the path of its descriptor.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : descriptor_(memfd_create("seen.snapshot", MFD_CLOEXEC)) {
    Check(write(descriptor_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  const int descriptor_;
};

std::unique_ptr<SeenSet> Read(std::string_view bytes, const mi::Clock& clock) {
  const MemoryFile file(bytes);
  auto read = ReadSnapshot(file.path(), {}, {}, clock);
  return read ? *std::move(read) : nullptr;
}

// Takes values from the front of the input; zeros after its end.
class Input {
 public:
  explicit Input(std::string_view bytes) : rest_(bytes) {}
  template <typename T>
  T Take() {
    T value = 0;
    const size_t size = std::min(sizeof value, rest_.size());
    std::memcpy(&value, rest_.data(), size);
    rest_.remove_prefix(size);
    return value;
  }

 private:
  std::string_view rest_;
};

// A file with valid checksums whose numbers come from the input. Sets `entries` to the number of entries in its shards.
std::string FileOf(Input input, uint64_t& entries) {
  const auto lies = input.Take<uint8_t>();  // which numbers of the header are wrong
  std::string shards;
  std::string checksums;
  for (size_t shard = 0; shard < 64; ++shard) {
    SeenEntries in_shard{.keys = {}, .active = {}, .at_s = input.Take<int64_t>()};
    for (size_t n = input.Take<uint8_t>() % 16; n > 0; --n) {
      in_shard.keys.push_back(input.Take<uint64_t>());
      in_shard.active.push_back(input.Take<uint8_t>());
    }
    entries += in_shard.keys.size();
    const std::string bytes = EncodeShard(in_shard);
    shards += bytes;
    checksums += bytes.substr(bytes.size() - kChecksumBytes);
  }
  SnapshotHeader header{.shards = 64,
                        .file_bytes = SnapshotHeader::kBytes + shards.size(),
                        .entries = entries,
                        .shards_digest = SnapshotChecksum(checksums)};
  if ((lies & 1) != 0) header.shards = input.Take<uint32_t>();
  if ((lies & 2) != 0) header.file_bytes = input.Take<uint64_t>();
  if ((lies & 4) != 0) header.entries = input.Take<uint64_t>();
  header.binding.activity_interval_s = (lies & 8) != 0 ? input.Take<uint64_t>() : 0;
  return header.Encode().value() + shards;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const mi::ManualClock clock;
  Read(bytes, clock);
  uint64_t entries = 0;
  const auto seen = Read(FileOf(Input(bytes), entries), clock);
  if (seen == nullptr) return 0;
  Check(seen->stats().entries <= entries);  // a key that occurs twice is one entry
  seen->Sweep();
  for (size_t shard = 0; shard < SeenSet::kShards; ++shard) seen->CopyShard(shard);
  return 0;
}
