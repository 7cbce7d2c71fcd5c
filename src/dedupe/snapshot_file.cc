#include "dedupe/snapshot_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "base/format.h"

namespace mi::dedupe {

namespace {

std::unexpected<Error> SystemError(std::string_view what, const std::string& path) {
  return Fail(Errc::kUnavailable, format("{} {}: {}", what, path, std::generic_category().message(errno)));
}

}  // namespace

Result<SnapshotFile> SnapshotFile::CreateEmpty(std::string path) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) return SystemError("create", path);
  return SnapshotFile(std::move(path), descriptor);
}

Result<SnapshotFile> SnapshotFile::OpenExisting(std::string path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return SystemError("open", path);
  return SnapshotFile(std::move(path), descriptor);
}

SnapshotFile::SnapshotFile(SnapshotFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

SnapshotFile::~SnapshotFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

Result<uint64_t> SnapshotFile::Size() const {
  struct stat status{};
  if (fstat(descriptor_, &status) != 0) return SystemError("stat", path_);
  return static_cast<uint64_t>(status.st_size);
}

Status SnapshotFile::WriteAt(uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError("write", path_);
    bytes.remove_prefix(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
  return {};
}

Status SnapshotFile::ReadAt(uint64_t offset, std::span<char> bytes) const {
  while (!bytes.empty()) {
    const ssize_t read = pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) return SystemError("read", path_);
    if (read == 0) return Fail(Errc::kCorrupt, format("{} ends at byte {}", path_, offset));
    bytes = bytes.subspan(static_cast<size_t>(read));
    offset += static_cast<uint64_t>(read);
  }
  return {};
}

Status SnapshotFile::Sync() {
  if (fsync(descriptor_) != 0) return SystemError("sync", path_);
  return {};
}

Status ReplaceFile(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) return SystemError("rename to", to);
  const size_t slash = to.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : to.substr(0, slash + 1);
  auto opened = SnapshotFile::OpenExisting(directory);
  if (!opened) return Fail(opened.error());
  return opened->Sync();
}

}  // namespace mi::dedupe
