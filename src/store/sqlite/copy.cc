#include "store/sqlite/copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/file_descriptor.h"
#include "base/format.h"
#include "sqlite/database.h"
#include "sqlite/side_files.h"

namespace mi::store {
namespace {

Status CopyPages(const std::string& from, const std::string& to) {
  sqlite::Database source = TRY(sqlite::Database::Open(from, {.read_only = true}));
  sqlite::Database target = TRY(sqlite::Database::Open(to, {.wal = false}));
  return source.CopyTo(target);
}

Status CreateForOwner(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.valid()) return {};
  return Fail(Errc::kUnavailable, format("{} cannot be created: {}", path, std::strerror(errno)));
}

}  // namespace

Status CopySqliteCatalog(const std::string& from, const std::string& to) {
  RemoveSqliteFiles(to);
  TRY(CreateForOwner(to));
  Status copied = CopyPages(from, to);
  if (copied) copied = MakeSqliteFileWhole(to);
  if (!copied) RemoveSqliteFiles(to);
  return copied;
}

void RemoveSqliteFiles(const std::string& path) {
  unlink(path.c_str());
  for (const char* suffix : sqlite::kSideFiles) unlink((path + suffix).c_str());
}

// A database in WAL mode is one file once it has left that mode. A catalogue enters it again when it is opened.
Status MakeSqliteFileWhole(const std::string& path) {
  {
    sqlite::Database database = TRY(sqlite::Database::Open(path, {.wal = false}));
    TRY(database.Exec("PRAGMA journal_mode=DELETE"));
  }
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.valid() && fchmod(file.get(), 0600) == 0 && fsync(file.get()) == 0) return {};
  return Fail(Errc::kUnavailable, format("{} cannot be synced: {}", path, std::strerror(errno)));
}

}  // namespace mi::store
