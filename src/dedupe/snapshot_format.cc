#include "dedupe/snapshot_format.h"

#include <bit>
#include <cstring>

#include "base/format.h"

namespace mi::dedupe {

namespace {

static_assert(std::endian::native == std::endian::little, "the snapshot is written as it stands in memory");

constexpr std::string_view kMagic = "MI-SEEN\n";
constexpr uint32_t kVersion = 1;
constexpr size_t kUuidField = 64;  // a byte of length, and room

// Where the fields of the header begin.
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
  kHeaderChecksumAt = kSnapshotHeaderBytes - kChecksumBytes,
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
                format("a uuid of {} bytes, the snapshot has room for {}", uuid.size(), kUuidField - 1));
  }
  bytes[at] = static_cast<char>(uuid.size());
  uuid.copy(bytes.data() + at + 1, uuid.size());
  return {};
}

std::string GetUuid(std::string_view bytes, size_t at) {
  return std::string(bytes.substr(at + 1, std::min<size_t>(static_cast<unsigned char>(bytes[at]), kUuidField - 1)));
}

}  // namespace

std::string SnapshotChecksum(std::string_view bytes) {
  static const model::Fingerprinter kHash("seen.snapshot", model::Tenant());
  const auto checksum = kHash(bytes).ToBytes();
  return {checksum.begin(), checksum.end()};
}

Result<std::string> EncodeHeader(const SnapshotHeader& header) {
  std::string bytes(kSnapshotHeaderBytes, '\0');
  kMagic.copy(bytes.data() + kMagicAt, kMagic.size());
  Put(bytes, kVersionAt, kVersion);
  Put(bytes, kShardsAt, header.shards);
  Put(bytes, kFileBytesAt, header.file_bytes);
  Put(bytes, kEntriesAt, header.entries);
  Put(bytes, kHighestIdAt, header.binding.highest_id);
  Put(bytes, kJournalOffsetAt, header.binding.journal_next_offset);
  Put(bytes, kSecretCheckAt, header.binding.secret_check);
  Put(bytes, kIntervalAt, header.binding.activity_interval_s);
  if (auto put = PutUuid(bytes, kCatalogUuidAt, header.binding.catalog_uuid); !put) return Fail(put.error());
  if (auto put = PutUuid(bytes, kJournalUuidAt, header.binding.journal_uuid); !put) return Fail(put.error());
  header.shards_digest.copy(bytes.data() + kDigestAt, kChecksumBytes);
  SnapshotChecksum(std::string_view(bytes).substr(0, kHeaderChecksumAt))
      .copy(bytes.data() + kHeaderChecksumAt, kChecksumBytes);
  return bytes;
}

Result<SnapshotHeader> DecodeHeader(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) return Fail(Errc::kCorrupt, "no seen snapshot: its first bytes are others");
  if (const auto version = Get<uint32_t>(bytes, kVersionAt); version != kVersion) {
    return Fail(Errc::kInvalid, format("a seen snapshot of version {}, this program reads {}", version, kVersion));
  }
  if (SnapshotChecksum(bytes.substr(0, kHeaderChecksumAt)) != bytes.substr(kHeaderChecksumAt)) {
    return Fail(Errc::kCorrupt, "the header does not match its checksum");
  }
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
  std::string bytes(ShardBytes(count), '\0');
  Put(bytes, 0, entries.at_s);
  Put(bytes, 8, uint64_t{count});
  const size_t active_at = kShardHeadBytes + count * sizeof(uint64_t);
  if (count != 0) {
    std::memcpy(bytes.data() + kShardHeadBytes, entries.keys.data(), count * sizeof(uint64_t));
    std::memcpy(bytes.data() + active_at, entries.active.data(), count);
  }
  const size_t checksum_at = active_at + count;
  SnapshotChecksum(std::string_view(bytes).substr(0, checksum_at)).copy(bytes.data() + checksum_at, kChecksumBytes);
  return bytes;
}

uint64_t EntriesOfShard(std::string_view head) { return Get<uint64_t>(head, 8); }

Result<SeenEntries> DecodeShard(std::string_view bytes) {
  const size_t count = EntriesOfShard(bytes);
  const size_t checksum_at = bytes.size() - kChecksumBytes;
  if (SnapshotChecksum(bytes.substr(0, checksum_at)) != bytes.substr(checksum_at)) {
    return Fail(Errc::kCorrupt, "entries do not match their checksum");
  }
  SeenEntries entries{
      .keys = std::vector<uint64_t>(count), .active = std::vector<uint8_t>(count), .at_s = Get<int64_t>(bytes, 0)};
  if (count != 0) {
    std::memcpy(entries.keys.data(), bytes.data() + kShardHeadBytes, count * sizeof(uint64_t));
    std::memcpy(entries.active.data(), bytes.data() + checksum_at - count, count);
  }
  return entries;
}

}  // namespace mi::dedupe
