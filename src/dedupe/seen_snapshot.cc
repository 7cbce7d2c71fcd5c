#include "dedupe/seen_snapshot.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/file_descriptor.h"
#include "base/format.h"

namespace mi::dedupe {

namespace {

// A file, and its path for error messages: kUnavailable with what the system said.
class File {
 public:
  static Result<File> Open(std::string path, int flags) {
    FileDescriptor descriptor(open(path.c_str(), flags | O_CLOEXEC, 0644));
    if (!descriptor.valid()) return SystemError("open", path);
    return File(std::move(path), std::move(descriptor));
  }

  static std::unexpected<Error> SystemError(std::string_view call, const std::string& path) {
    return Fail(Errc::kUnavailable, format("{} {}: {}", call, path, std::generic_category().message(errno)));
  }

  Result<uint64_t> Size() const {
    struct stat status{};
    if (fstat(descriptor_.get(), &status) != 0) return SystemError("stat", path_);
    return static_cast<uint64_t>(status.st_size);
  }

  Status WriteAt(uint64_t offset, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = pwrite(descriptor_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return SystemError("write", path_);
      bytes.remove_prefix(static_cast<size_t>(written));
      offset += static_cast<uint64_t>(written);
    }
    return {};
  }

  // kCorrupt if the file is too short.
  Status ReadAt(uint64_t offset, std::span<char> bytes) const {
    while (!bytes.empty()) {
      const ssize_t read = pread(descriptor_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (read < 0 && errno == EINTR) continue;
      if (read < 0) return SystemError("read", path_);
      if (read == 0) return Fail(Errc::kCorrupt, format("{} ends at byte {}", path_, offset));
      bytes = bytes.subspan(static_cast<size_t>(read));
      offset += static_cast<uint64_t>(read);
    }
    return {};
  }

  Status Sync() {
    if (fsync(descriptor_.get()) != 0) return SystemError("sync", path_);
    return {};
  }

 private:
  File(std::string path, FileDescriptor descriptor) : path_(std::move(path)), descriptor_(std::move(descriptor)) {}

  std::string path_;
  FileDescriptor descriptor_;
};

// The header is written last. Without it the file is not a snapshot.
Status WriteTo(const std::string& path, SeenSet& seen, const std::function<Result<SnapshotBinding>()>& binding) {
  File file = TRY(File::Open(path, O_WRONLY | O_CREAT | O_TRUNC));
  SnapshotHeader header{.shards = SeenSet::kShards, .file_bytes = SnapshotHeader::kBytes};
  std::string checksums;
  for (size_t shard = 0; shard < SeenSet::kShards; ++shard) {
    const SeenEntries entries = seen.CopyShard(shard);
    const std::string bytes = EncodeShard(entries);
    TRY(file.WriteAt(header.file_bytes, bytes));
    header.file_bytes += bytes.size();
    header.entries += entries.keys.size();
    checksums.append(bytes, bytes.size() - kChecksumBytes);
  }
  header.shards_digest = SnapshotChecksum(checksums);
  header.binding = TRY(binding());
  TRY(file.WriteAt(0, TRY(header.Encode())));
  return file.Sync();
}

// After this, `to` has the content of `from`, also after a power cut. Requires: both are in one directory.
Status Replace(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) return File::SystemError("rename to", to);
  const std::string directory = std::filesystem::path(to).parent_path();
  File opened = TRY(File::Open(directory.empty() ? "." : directory, O_RDONLY));
  return opened.Sync();
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

Result<SnapshotHeader> ReadHeader(const File& file, const SnapshotBinding& now) {
  const uint64_t size = TRY(file.Size());
  std::string bytes(SnapshotHeader::kBytes, '\0');
  TRY(file.ReadAt(0, bytes));
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

// Reads one shard after the other: the file as a whole would need as much memory as the table.
Status ReadShards(const File& file, const SnapshotHeader& header, SeenSet& seen) {
  uint64_t at = SnapshotHeader::kBytes;
  uint64_t entries = 0;
  std::string checksums;
  std::string bytes;
  for (size_t shard = 0; shard < SeenSet::kShards; ++shard) {
    bytes.resize(kShardHeadBytes);
    TRY(file.ReadAt(at, bytes));
    const uint64_t count = EntriesOfShard(bytes);
    if (count > (header.file_bytes - at) / kSnapshotEntryBytes) {
      return Fail(Errc::kCorrupt, format("a shard of {} entries in a file of {} bytes", count, header.file_bytes));
    }
    bytes.resize(ShardBytes(count));
    TRY(file.ReadAt(at, bytes));
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
  const File file = TRY(File::Open(path, O_RDONLY));
  const SnapshotHeader header = TRY(ReadHeader(file, now));
  auto seen = std::make_unique<SeenSet>(options, clock);
  TRY(ReadShards(file, header, *seen));
  return seen;
}

}  // namespace

Status WriteSnapshot(SeenSet& seen, const std::string& path, const std::function<Result<SnapshotBinding>()>& binding) {
  const std::string temporary = path + ".tmp";
  Status written = WriteTo(temporary, seen, binding);
  if (written) written = Replace(temporary, path);
  if (written) return {};
  unlink(temporary.c_str());
  return Fail(written.error().Within("seen snapshot"));
}

Result<std::unique_ptr<SeenSet>> ReadSnapshot(const std::string& path, const SnapshotBinding& now,
                                              const SeenOptions& options, const Clock& clock) {
  return TRY_WITHIN(ReadFrom(path, now, options, clock), "seen snapshot " + path);
}

}  // namespace mi::dedupe
