#include "dedupe/seen_snapshot.h"

#include <unistd.h>

#include "base/format.h"
#include "dedupe/snapshot_file.h"
#include "dedupe/snapshot_format.h"

namespace mi::dedupe {

namespace {

Status WriteTo(SnapshotFile& file, SeenSet& seen, const std::function<Result<SnapshotBinding>()>& binding) {
  SnapshotHeader header{.shards = static_cast<uint32_t>(seen.shards()), .file_bytes = kSnapshotHeaderBytes};
  std::string checksums;
  for (size_t shard = 0; shard < seen.shards(); ++shard) {
    const SeenEntries entries = seen.CopyShard(shard);
    const std::string bytes = EncodeShard(entries);
    if (auto written = file.WriteAt(header.file_bytes, bytes); !written) return written;
    header.file_bytes += bytes.size();
    header.entries += entries.keys.size();
    checksums.append(bytes, bytes.size() - kChecksumBytes);
  }
  header.shards_digest = SnapshotChecksum(checksums);
  auto bound = binding();
  if (!bound) return Fail(bound.error());
  header.binding = *std::move(bound);
  // Last: until it stands there, the file is none.
  const auto encoded = EncodeHeader(header);
  if (!encoded) return Fail(encoded.error());
  if (auto written = file.WriteAt(0, *encoded); !written) return written;
  return file.Sync();
}

// Whether a snapshot bound to `then` may be trusted by a catalogue and a journal that are at `now`.
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

Result<SnapshotHeader> ReadHeader(const SnapshotFile& file, const SnapshotBinding& now) {
  const auto size = file.Size();
  if (!size) return Fail(size.error());
  std::string bytes(kSnapshotHeaderBytes, '\0');
  if (auto read = file.ReadAt(0, bytes); !read) return Fail(read.error());
  auto header = DecodeHeader(bytes);
  if (!header) return header;
  if (header->file_bytes != *size) {
    return Fail(Errc::kCorrupt, format("the file has {} bytes, its header says {}", *size, header->file_bytes));
  }
  if (auto checked = CheckBinding(header->binding, now); !checked) return Fail(checked.error());
  return header;
}

// Reads the shards one after the other, so that the file never stands in memory as a whole.
class ShardReader {
 public:
  ShardReader(const SnapshotFile& file, uint64_t file_bytes) : file_(file), file_bytes_(file_bytes) {}

  Result<SeenEntries> Next() {
    if (auto read = Extend(kShardHeadBytes); !read) return Fail(read.error());
    const uint64_t entries = EntriesOfShard(bytes_);
    if (entries > (file_bytes_ - at_) / kSnapshotEntryBytes) {
      return Fail(Errc::kCorrupt, format("a shard of {} entries in a file of {} bytes", entries, file_bytes_));
    }
    if (auto read = Extend(ShardBytes(entries)); !read) return Fail(read.error());
    at_ += bytes_.size();
    checksums_.append(bytes_, bytes_.size() - kChecksumBytes);
    return DecodeShard(std::exchange(bytes_, {}));
  }

  uint64_t at() const { return at_; }
  const std::string& checksums() const { return checksums_; }

 private:
  Status Extend(uint64_t size) {
    const size_t have = bytes_.size();
    bytes_.resize(size);
    return file_.ReadAt(at_ + have, std::span(bytes_).subspan(have));
  }

  const SnapshotFile& file_;
  const uint64_t file_bytes_;
  uint64_t at_ = kSnapshotHeaderBytes;
  std::string bytes_;
  std::string checksums_;
};

Status ReadShards(const SnapshotFile& file, const SnapshotHeader& header, SeenSet& seen) {
  if (header.shards != seen.shards()) {
    return Fail(Errc::kInvalid, format("a snapshot of {} shards, this program has {}", header.shards, seen.shards()));
  }
  ShardReader reader(file, header.file_bytes);
  uint64_t entries = 0;
  for (size_t shard = 0; shard < seen.shards(); ++shard) {
    const auto read = reader.Next();
    if (!read) return Fail(read.error());
    entries += read->keys.size();
    seen.FillShard(shard, *read);
  }
  if (reader.at() != header.file_bytes || entries != header.entries ||
      SnapshotChecksum(reader.checksums()) != header.shards_digest) {
    return Fail(Errc::kCorrupt, "the shards are not those that the header speaks of");
  }
  return {};
}

}  // namespace

Status WriteSnapshot(SeenSet& seen, const std::string& path, const std::function<Result<SnapshotBinding>()>& binding) {
  const std::string beside = path + ".tmp";
  Status written = [&]() -> Status {
    auto file = SnapshotFile::CreateEmpty(beside);
    if (!file) return Fail(file.error());
    return WriteTo(*file, seen, binding);
  }();
  if (written) written = ReplaceFile(beside, path);
  if (!written) {
    unlink(beside.c_str());
    return Fail(written.error().Within("seen snapshot"));
  }
  return {};
}

Result<std::unique_ptr<SeenSet>> ReadSnapshot(const std::string& path, const SnapshotBinding& now, SeenOptions options,
                                              const Clock& clock) {
  const auto refuse = [&](const Error& error) { return Fail(error.Within("seen snapshot " + path)); };
  const auto file = SnapshotFile::OpenExisting(path);
  if (!file) return refuse(file.error());
  const auto header = ReadHeader(*file, now);
  if (!header) return refuse(header.error());
  auto seen = SeenSet::Create(options, clock);
  if (auto read = ReadShards(*file, *header, *seen); !read) return refuse(read.error());
  return seen;
}

}  // namespace mi::dedupe
