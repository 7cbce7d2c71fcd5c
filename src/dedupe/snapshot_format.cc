#include "dedupe/snapshot_format.h"

#include <bit>
#include <cassert>
#include <cstring>

#include "base/format.h"

namespace mi::dedupe {

namespace {

static_assert(std::endian::native == std::endian::little, "the snapshot has the byte order of the memory");

constexpr std::string_view kMagic = "MI-SEEN\n";
constexpr uint32_t kVersion = 1;
constexpr size_t kUuidField = 64;  // one byte of length, then the text

// Offsets of the header's fields.
enum HeaderField : size_t {
  kMagicAt = 0,
  kVersionAt = 8,
  kShardsAt = 12,
  kFileBytesAt = 16,
  kEntriesAt = 24,
  kHighestIdAt = 32,
  kJournalOffsetAt = 40,
  kSecretCheckAt = 48,
  kIntervalAt = 56,
  kCatalogUuidAt = 64,
  kJournalUuidAt = 128,
  kDigestAt = 192,
  kHeaderChecksumAt = SnapshotHeader::kBytes - kChecksumBytes,
};

template <typename T>
void Put(std::string& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

template <typename T>
T Get(std::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

Status PutUuid(std::string& bytes, size_t at, std::string_view uuid) {
  if (uuid.size() >= kUuidField) {
    return Fail(Errc::kInvalid,
                format("a uuid of {} bytes, limit {} bytes in the snapshot", uuid.size(), kUuidField - 1));
  }
  bytes[at] = static_cast<char>(uuid.size());
  uuid.copy(bytes.data() + at + 1, uuid.size());
  return {};
}

std::string GetUuid(std::string_view bytes, size_t at) {
  const auto size = static_cast<unsigned char>(bytes[at]);
  return std::string(bytes.substr(at + 1, std::min<size_t>(size, kUuidField - 1)));
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
  std::string bytes(kBytes, '\0');
  kMagic.copy(bytes.data() + kMagicAt, kMagic.size());
  Put(bytes, kVersionAt, kVersion);
  Put(bytes, kShardsAt, shards);
  Put(bytes, kFileBytesAt, file_bytes);
  Put(bytes, kEntriesAt, entries);
  Put(bytes, kHighestIdAt, binding.highest_id);
  Put(bytes, kJournalOffsetAt, binding.journal_next_offset);
  Put(bytes, kSecretCheckAt, binding.secret_check);
  Put(bytes, kIntervalAt, binding.activity_interval_s);
  TRY(PutUuid(bytes, kCatalogUuidAt, binding.catalog_uuid));
  TRY(PutUuid(bytes, kJournalUuidAt, binding.journal_uuid));
  shards_digest.copy(bytes.data() + kDigestAt, kChecksumBytes);
  PutChecksum(bytes, kHeaderChecksumAt);
  return bytes;
}

Result<SnapshotHeader> SnapshotHeader::Decode(std::string_view bytes) {
  assert(bytes.size() == kBytes);
  if (!bytes.starts_with(kMagic)) return Fail(Errc::kCorrupt, "not a seen snapshot: it begins with other bytes");
  if (const auto version = Get<uint32_t>(bytes, kVersionAt); version != kVersion) {
    return Fail(Errc::kInvalid, format("a seen snapshot of version {}, this program reads {}", version, kVersion));
  }
  if (!ChecksumMatches(bytes)) return Fail(Errc::kCorrupt, "the header does not match its checksum");
  return SnapshotHeader{
      .shards = Get<uint32_t>(bytes, kShardsAt),
      .file_bytes = Get<uint64_t>(bytes, kFileBytesAt),
      .entries = Get<uint64_t>(bytes, kEntriesAt),
      .binding = {.catalog_uuid = GetUuid(bytes, kCatalogUuidAt),
                  .highest_id = Get<uint64_t>(bytes, kHighestIdAt),
                  .journal_uuid = GetUuid(bytes, kJournalUuidAt),
                  .journal_next_offset = Get<int64_t>(bytes, kJournalOffsetAt),
                  .secret_check = Get<uint64_t>(bytes, kSecretCheckAt),
                  .activity_interval_s = Get<uint64_t>(bytes, kIntervalAt)},
      .shards_digest = std::string(bytes.substr(kDigestAt, kChecksumBytes)),
  };
}

std::string EncodeShard(const SeenEntries& entries) {
  const size_t count = entries.keys.size();
  std::string bytes;
  bytes.reserve(ShardBytes(count));
  bytes.resize(kShardHeadBytes);
  Put(bytes, 0, entries.at_s);
  Put(bytes, 8, uint64_t{count});
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
