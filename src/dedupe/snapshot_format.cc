#include "dedupe/snapshot_format.h"

#include <bit>
#include <cassert>
#include <cstddef>
#include <cstring>

#include "base/format.h"

namespace mi::dedupe {

namespace {

static_assert(std::endian::native == std::endian::little, "the snapshot has the byte order of the memory");

constexpr std::string_view kMagic = "MI-SEEN\n";
constexpr uint32_t kVersion = 1;
// The header's bytes. Its checksum covers everything before it.
struct RawHeader {
  char magic[8];
  uint32_t version;
  uint32_t shards;
  uint64_t file_bytes;
  uint64_t entries;
  uint64_t highest_id;
  int64_t journal_next_offset;
  uint64_t secret_check;
  uint64_t activity_interval_s;
  char catalog_uuid[64];  // one byte of length, then the text
  char journal_uuid[64];
  char shards_digest[kChecksumBytes];
  char zeros[32];
  char checksum[kChecksumBytes];
};
static_assert(sizeof(RawHeader) == SnapshotHeader::kBytes && offsetof(RawHeader, shards_digest) == 192);

template <typename T>
T Get(std::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <size_t kSize>
Status PutUuid(std::string_view uuid, char (&field)[kSize]) {
  if (uuid.size() >= kSize) {
    return Fail(Errc::kInvalid, format("a uuid of {} bytes, limit {} bytes in the snapshot", uuid.size(), kSize - 1));
  }
  field[0] = static_cast<char>(uuid.size());
  uuid.copy(field + 1, uuid.size());
  return {};
}

template <size_t kSize>
std::string GetUuid(const char (&field)[kSize]) {
  return {field + 1, std::min<size_t>(static_cast<unsigned char>(field[0]), kSize - 1)};
}

// Puts the checksum of everything before `at` there.
void PutChecksum(std::string& bytes, size_t at) {
  SnapshotChecksum(std::string_view(bytes).substr(0, at)).copy(bytes.data() + at, kChecksumBytes);
}

// Whether the last bytes are the checksum of the others.
bool ChecksumMatches(std::string_view bytes) {
  const size_t at = bytes.size() - kChecksumBytes;
  return SnapshotChecksum(bytes.substr(0, at)) == bytes.substr(at);
}

}  // namespace

std::string SnapshotChecksum(std::string_view bytes) {
  static const model::Fingerprinter kHash("seen.snapshot", model::Tenant());
  const auto checksum = kHash(bytes).ToBytes();
  return {checksum.begin(), checksum.end()};
}

Result<std::string> SnapshotHeader::Encode() const {
  RawHeader raw{.version = kVersion,
                .shards = shards,
                .file_bytes = file_bytes,
                .entries = entries,
                .highest_id = binding.highest_id,
                .journal_next_offset = binding.journal_next_offset,
                .secret_check = binding.secret_check,
                .activity_interval_s = binding.activity_interval_s};
  kMagic.copy(raw.magic, sizeof(raw.magic));
  TRY(PutUuid(binding.catalog_uuid, raw.catalog_uuid));
  TRY(PutUuid(binding.journal_uuid, raw.journal_uuid));
  shards_digest.copy(raw.shards_digest, kChecksumBytes);
  std::string bytes(reinterpret_cast<const char*>(&raw), sizeof(raw));
  PutChecksum(bytes, offsetof(RawHeader, checksum));
  return bytes;
}

Result<SnapshotHeader> SnapshotHeader::Decode(std::string_view bytes) {
  assert(bytes.size() == kBytes);
  const auto raw = Get<RawHeader>(bytes, 0);
  if (!bytes.starts_with(kMagic)) return Fail(Errc::kCorrupt, "not a seen snapshot: it begins with other bytes");
  if (raw.version != kVersion) {
    return Fail(Errc::kInvalid, format("a seen snapshot of version {}, this program reads {}", raw.version, kVersion));
  }
  if (!ChecksumMatches(bytes)) return Fail(Errc::kCorrupt, "the header does not match its checksum");
  return SnapshotHeader{.shards = raw.shards,
                        .file_bytes = raw.file_bytes,
                        .entries = raw.entries,
                        .binding = {.catalog_uuid = GetUuid(raw.catalog_uuid),
                                    .highest_id = raw.highest_id,
                                    .journal_uuid = GetUuid(raw.journal_uuid),
                                    .journal_next_offset = raw.journal_next_offset,
                                    .secret_check = raw.secret_check,
                                    .activity_interval_s = raw.activity_interval_s},
                        .shards_digest = {raw.shards_digest, kChecksumBytes}};
}

std::string EncodeShard(const SeenEntries& entries) {
  const size_t count = entries.keys.size();
  const uint64_t head[] = {static_cast<uint64_t>(entries.at_s), count};
  std::string bytes;
  bytes.reserve(ShardBytes(count));
  bytes.append(reinterpret_cast<const char*>(head), sizeof(head));
  bytes.append(reinterpret_cast<const char*>(entries.keys.data()), count * sizeof(uint64_t));
  bytes.append(reinterpret_cast<const char*>(entries.active.data()), count);
  bytes.resize(ShardBytes(count));
  PutChecksum(bytes, bytes.size() - kChecksumBytes);
  return bytes;
}

uint64_t EntriesOfShard(std::string_view head) {
  assert(head.size() >= kShardHeadBytes);
  return Get<uint64_t>(head, 8);
}

Result<SeenEntries> DecodeShard(std::string_view bytes) {
  const size_t count = EntriesOfShard(bytes);
  assert(bytes.size() == ShardBytes(count));
  if (!ChecksumMatches(bytes)) return Fail(Errc::kCorrupt, "entries do not match their checksum");
  SeenEntries entries{
      .keys = std::vector<uint64_t>(count), .active = std::vector<uint8_t>(count), .at_s = Get<int64_t>(bytes, 0)};
  const std::string_view keys = bytes.substr(kShardHeadBytes, count * sizeof(uint64_t));
  keys.copy(reinterpret_cast<char*>(entries.keys.data()), keys.size());
  bytes.copy(reinterpret_cast<char*>(entries.active.data()), count, kShardHeadBytes + keys.size());
  return entries;
}

}  // namespace mi::dedupe
