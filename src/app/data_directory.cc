#include "app/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/ascii.h"
#include "base/format.h"

namespace mi::app {
namespace {

std::string ReadPid(const FileDescriptor& lock) {
  char text[32] = {};
  const ssize_t size = pread(lock.get(), text, sizeof text - 1, 0);
  const std::string_view pid = TrimSpace({text, size > 0 ? static_cast<size_t>(size) : 0});
  return pid.empty() ? "?" : std::string(pid);
}

// "the data directory data is not writable: …; change its owner or choose another (app.data_dir, --data)"
std::unexpected<Error> Unusable(std::string_view path, std::string_view problem, std::string_view remedy) {
  return Fail(Errc::kUnavailable,
              format("the data directory {} {}; {} or choose another (app.data_dir, --data)", path, problem, remedy));
}

}  // namespace

Result<DataDirectory> DataDirectory::Open(const std::string& path) {
  std::error_code error;
  const bool created = std::filesystem::create_directories(path, error);
  if (created) std::filesystem::permissions(path, std::filesystem::perms::owner_all, error);
  if (error) return Unusable(path, format("cannot be created: {}", error.message()), "change the rights");
  FileDescriptor folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) return Unusable(path, format("cannot be opened: {}", std::strerror(errno)), "change its owner");
  FileDescriptor lock(openat(folder.get(), "LOCK", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return Unusable(path, format("is not writable: {}", std::strerror(errno)), "change its owner");
  // Root may run `restore` before the service has ever run, which then must be able to open the file.
  struct stat owner{};
  const bool root = geteuid() == 0 && fstat(folder.get(), &owner) == 0;
  if (root && fchown(lock.get(), owner.st_uid, owner.st_gid) != 0) std::perror("LOCK");
  DataDirectory directory(path, std::move(folder), std::move(lock));
  TRY(directory.Lock());
  TRY(directory.WritePid());
  return directory;
}

Status DataDirectory::Lock() {
  // EWOULDBLOCK: somebody else holds the lock. Any other error: the file system cannot lock a folder.
  const bool folder_is_free = flock(folder_.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
  if (folder_is_free && flock(lock_.get(), LOCK_EX | LOCK_NB) == 0) return {};
  if (errno == EWOULDBLOCK) return Unusable(path_, format("is in use by process {}", ReadPid(lock_)), "stop it");
  return Unusable(path_, format("cannot be locked: {}", std::strerror(errno)), "mount it with locks");
}

Status DataDirectory::WritePid() {
  const std::string pid = format("{}\n", getpid());
  const auto size = static_cast<ssize_t>(pid.size());
  // In this order, because a full disk has no place for a file that was truncated first.
  if (pwrite(lock_.get(), pid.data(), pid.size(), 0) == size && ftruncate(lock_.get(), size) == 0) return {};
  return Unusable(path_, format("cannot be written to: {}", std::strerror(errno)), "make room");
}

std::optional<std::string> DataDirectory::OpenToOthers() const {
  constexpr mode_t kOthers = S_IRWXO;
  struct stat state{};
  if (fstat(folder_.get(), &state) != 0 || (state.st_mode & kOthers) == 0) return std::nullopt;
  return format("every user of this machine can enter the data directory {} (mode {:04o}): chmod 700 {}", path_,
                state.st_mode & 07777, path_);
}

Status DataDirectory::Sync() const {
  if (fsync(folder_.get()) == 0) return {};
  return Unusable(path_, format("cannot be synced: {}", std::strerror(errno)), "check its disk");
}

std::optional<DataDirectory::Identity> DataDirectory::Find(const std::string& name) const {
  struct stat state{};
  if (fstatat(folder_.get(), name.c_str(), &state, 0) != 0) return std::nullopt;
  return Identity{state.st_dev, state.st_ino};
}

Status DataDirectory::Guard(std::initializer_list<std::string_view> files) {
  for (const std::string_view file : files) {
    std::string name(file);
    const auto identity = Find(name);
    if (!identity) return Fail(Errc::kUnavailable, format("{}: {}", PathOf(file), std::strerror(errno)));
    const auto log = Find(name + "-wal");
    const auto index = Find(name + "-shm");
    guarded_.push_back({std::move(name), *identity, log, index});
  }
  return {};
}

Status DataDirectory::Intact() const {
  struct stat held{};
  struct stat found{};
  const bool same = fstat(folder_.get(), &held) == 0 && held.st_nlink > 0 && stat(path_.c_str(), &found) == 0 &&
                    held.st_dev == found.st_dev && held.st_ino == found.st_ino;
  if (!same) {
    return Fail(
        Errc::kUnavailable,
        format("the data directory {} was deleted or moved while it was in use: what is written now is lost", path_));
  }
  for (const GuardedFile& guarded : guarded_) {
    const std::pair<std::string, std::optional<Identity>> files[] = {
        {guarded.name, guarded.identity}, {guarded.name + "-wal", guarded.log}, {guarded.name + "-shm", guarded.index}};
    for (const auto& [file, identity] : files) {
      if (!identity || Find(file) == identity) continue;
      return Fail(
          Errc::kUnavailable,
          format("{} was deleted or replaced while it was in use: what is written to it now is lost", PathOf(file)));
    }
  }
  return {};
}

// Acts only if the log is the one that belonged to the old file. SQLite finds a log by its name alone, so after a
// restore of the database it would apply pages of the old file to the new one. The log is renamed and not deleted: it
// may hold the only copy of the last transactions. The shared memory file is only an index of the log, and SQLite makes
// it anew.
void DataDirectory::SetAsideOrphanedLogs() const {
  for (const auto& [name, identity, log, index] : guarded_) {
    const std::string wal = name + "-wal";
    if (!log || Find(wal) != log) continue;  // a new log came with the new file
    errno = 0;
    const auto now = Find(name);
    if (now == identity || (!now && errno != ENOENT))
      continue;  // if nothing can be looked up, the file may still be there
    renameat(folder_.get(), wal.c_str(), folder_.get(), (wal + ".orphaned").c_str());
    unlinkat(folder_.get(), (name + "-shm").c_str(), 0);  // the index of the log
  }
}

std::string DataDirectory::PathOf(std::string_view file) const { return format("{}/{}", path_, file); }

}  // namespace mi::app
