#include "dedupe/seen_snapshot.h"

#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/files.h"
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

// The first bytes of a shard: its time, and its number of entries.
constexpr size_t kShardHeadBytes = 16;
constexpr size_t kEntryBytes = sizeof(uint64_t) + sizeof(uint8_t);
constexpr uint64_t ShardBytes(uint64_t entries) { return kShardHeadBytes + entries * kEntryBytes + kChecksumBytes; }

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

uint64_t EntriesOfShard(std::string_view head) { return Get<uint64_t>(head, sizeof(int64_t)); }

// kCorrupt if the checksum does not match. Requires: bytes.size() == ShardBytes(EntriesOfShard(bytes)).
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

// A file that is read or written from front to back, and its path for error messages.
// Errors: kUnavailable with what the system said.
class File {
 public:
  static Result<File> Open(const std::string& path, const char* mode) {
    File file(path, fopen(path.c_str(), mode));
    if (file.stream_ == nullptr) return file.SystemError("open");
    return file;
  }

  Result<uint64_t> Size() const {
    struct stat status{};
    if (fstat(fileno(stream_.get()), &status) != 0) return SystemError("stat");
    return static_cast<uint64_t>(status.st_size);
  }
  Status Write(std::string_view bytes) {
    if (fwrite(bytes.data(), 1, bytes.size(), stream_.get()) != bytes.size()) return SystemError("write");
    return {};
  }
  // kCorrupt if the file ends before.
  Status Read(std::span<char> bytes) {
    if (fread(bytes.data(), 1, bytes.size(), stream_.get()) == bytes.size()) return {};
    if (ferror(stream_.get()) != 0) return SystemError("read");
    return Fail(Errc::kCorrupt, format("{} ends too early", path_));
  }
  // Not rewind(3), which does not report that the buffered bytes could not be written.
  Status Rewind() {
    if (fseek(stream_.get(), 0, SEEK_SET) != 0) return SystemError("write");
    return {};
  }
  // Everything that was written is on the disk.
  Status Sync() {
    if (fflush(stream_.get()) != 0 || fsync(fileno(stream_.get())) != 0) return SystemError("sync");
    return {};
  }

 private:
  struct Close {
    void operator()(FILE* stream) const { fclose(stream); }
  };
  File(std::string path, FILE* stream) : path_(std::move(path)), stream_(stream) {}

  std::unexpected<Error> SystemError(std::string_view call) const {
    return Fail(Errc::kUnavailable, format("{} {}: {}", call, path_, std::generic_category().message(errno)));
  }

  std::string path_;
  std::unique_ptr<FILE, Close> stream_;
};

// The header is written last, over zeros. Without it the file is not a snapshot. Order of the steps:
//
//   copy the shards -> write them -> read the binding -> write the header -> sync -> rename -> sync the directory
//
// The binding is read after the copies: what the table contains is durable, so it is within the binding. The reverse
// order could bind an entry to a catalogue or journal that does not have it yet. A crash before the rename leaves the
// previous snapshot and a .tmp file, which the next call overwrites. The copies of the shards are not of one moment;
// they need not be, because each entry stands for itself. Memory: one shard at a time, and its encoded bytes.
Status WriteTo(const std::string& path, SeenSet& seen, const std::function<Result<SnapshotBinding>()>& binding) {
  File file = TRY(File::Open(path, "we"));
  TRY(file.Write(std::string(SnapshotHeader::kBytes, '\0')));
  SnapshotHeader header{.shards = SeenSet::kShards, .file_bytes = SnapshotHeader::kBytes};
  std::string checksums;
  for (size_t shard = 0; shard < SeenSet::kShards; ++shard) {
    const SeenEntries entries = seen.CopyShard(shard);
    const std::string bytes = EncodeShard(entries);
    TRY(file.Write(bytes));
    header.file_bytes += bytes.size();
    header.entries += entries.keys.size();
    checksums.append(bytes, bytes.size() - kChecksumBytes);
  }
  header.shards_digest = SnapshotChecksum(checksums);
  header.binding = TRY(binding());
  TRY(file.Rewind());
  TRY(file.Write(TRY(header.Encode())));
  return file.Sync();
}

// Whether a catalogue and a journal in the state `now` may trust a snapshot that is bound to `then`.
Status CheckBinding(const SnapshotBinding& then, const SnapshotBinding& now) {
  const auto refuse = [](std::string_view what, const auto& snapshot, const auto& ours) {
    return Fail(Errc::kInvalid, format("the snapshot's {} is {}, ours {}", what, snapshot, ours));
  };
  if (then.catalog_uuid != now.catalog_uuid) return refuse("catalogue", then.catalog_uuid, now.catalog_uuid);
  if (then.journal_uuid != now.journal_uuid) return refuse("journal", then.journal_uuid, now.journal_uuid);
  if (then.secret_check != now.secret_check) {
    return Fail(Errc::kInvalid, "the snapshot was taken with another identity.secret");
  }
  if (then.activity_interval_s != now.activity_interval_s) {
    return refuse("catalog.activity_interval", then.activity_interval_s, now.activity_interval_s);
  }
  if (then.highest_id > now.highest_id) {
    return refuse("highest series id (a backup of the catalogue was restored?)", then.highest_id, now.highest_id);
  }
  if (then.journal_next_offset > now.journal_next_offset) {
    return refuse("journal offset (a backup of the journal was restored?)", then.journal_next_offset,
                  now.journal_next_offset);
  }
  return {};
}

Result<SnapshotHeader> ReadHeader(File& file, const SnapshotBinding& now) {
  const uint64_t size = TRY(file.Size());
  std::string bytes(SnapshotHeader::kBytes, '\0');
  TRY(file.Read(bytes));
  SnapshotHeader header = TRY(SnapshotHeader::Decode(bytes));
  if (header.file_bytes != size) {
    return Fail(Errc::kCorrupt, format("the file has {} bytes, its header says {}", size, header.file_bytes));
  }
  TRY(CheckBinding(header.binding, now));
  if (header.shards != SeenSet::kShards) {
    return Fail(Errc::kInvalid,
                format("a snapshot of {} shards, this program has {}", header.shards, SeenSet::kShards));
  }
  return header;
}

// Reads one shard after the other: the file as a whole would need as much memory as the table. A count from the file is
// compared with the bytes that are left before anything is allocated for it. Each shard has a checksum of its own, so
// it can be used at once; the digest in the header then makes sure that all shards belong to one snapshot. If that
// fails, the caller destroys the table that was filled so far.
Status ReadShards(File& file, const SnapshotHeader& header, SeenSet& seen) {
  uint64_t at = SnapshotHeader::kBytes;
  uint64_t entries = 0;
  std::string checksums;
  std::string bytes;
  for (size_t shard = 0; shard < SeenSet::kShards; ++shard) {
    bytes.resize(kShardHeadBytes);
    TRY(file.Read(bytes));
    const uint64_t count = EntriesOfShard(bytes);
    if (count > (header.file_bytes - at) / kEntryBytes) {
      return Fail(Errc::kCorrupt, format("a shard of {} entries in a file of {} bytes", count, header.file_bytes));
    }
    bytes.resize(ShardBytes(count));
    TRY(file.Read(std::span(bytes).subspan(kShardHeadBytes)));
    seen.FillShard(shard, TRY(DecodeShard(bytes)));
    checksums.append(bytes, bytes.size() - kChecksumBytes);
    at += bytes.size();
    entries += count;
  }
  if (at != header.file_bytes || entries != header.entries || SnapshotChecksum(checksums) != header.shards_digest) {
    return Fail(Errc::kCorrupt, "the shards do not match the header");
  }
  return {};
}

Result<std::unique_ptr<SeenSet>> ReadFrom(const std::string& path, const SnapshotBinding& now,
                                          const SeenOptions& options, const Clock& clock) {
  File file = TRY(File::Open(path, "re"));
  const SnapshotHeader header = TRY(ReadHeader(file, now));
  auto seen = std::make_unique<SeenSet>(options, clock);
  TRY(ReadShards(file, header, *seen));
  return seen;
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

Status WriteSnapshot(SeenSet& seen, const std::string& path, const std::function<Result<SnapshotBinding>()>& binding) {
  const std::string temporary = path + ".tmp";
  Status written = WriteTo(temporary, seen, binding);
  if (written) written = MoveIntoPlace(temporary, path);
  if (written) return {};
  unlink(temporary.c_str());
  return Fail(written.error().Within("seen snapshot"));
}

Result<std::unique_ptr<SeenSet>> ReadSnapshot(const std::string& path, const SnapshotBinding& now,
                                              const SeenOptions& options, const Clock& clock) {
  return TRY_WITHIN(ReadFrom(path, now, options, clock), "seen snapshot " + path);
}

}  // namespace mi::dedupe
