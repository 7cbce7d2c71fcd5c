// `metric-index backup`, `restore`, `check`: the catalogue of standalone as a file.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "app/catalog_files.h"
#include "app/commands.h"
#include "app/data_directory.h"
#include "app/process.h"
#include "base/file_descriptor.h"
#include "base/files.h"
#include "base/format.h"
#include "sqlite/side_files.h"
#include "store/sqlite/check.h"
#include "store/sqlite/copy.h"

namespace mi::app {
namespace {

using store::CheckReport;

std::string CatalogOf(const config::Config& config) { return config.app.data_dir + "/catalog.db"; }

Result<CheckReport> Check(const config::Config& config, const std::string& file) {
  return store::CheckSqliteCatalog({.path = file, .configured_secret = config.identity_secret});
}

// "3 faults in catalog.db: ...", one line per fault.
std::string DescribeFaults(const CheckReport& report, const std::string& file) {
  std::string text =
      format("{} faults in {}, {} of {} series are intact\n", report.faults, file, report.intact, report.series);
  for (const std::string& fault : report.shown) text += format("  {}\n", fault);
  if (report.faults > report.shown.size()) text += format("  and {} more\n", report.faults - report.shown.size());
  return text;
}

// kCorrupt if there is any damage.
Result<uint64_t> SeriesOfIntact(const config::Config& config, const std::string& file) {
  const CheckReport report = TRY(Check(config, file));
  if (report.ok()) return report.series;
  return Fail(Errc::kCorrupt, DescribeFaults(report, file));
}

// Renames a complete file, so that its name never stands for half of one.
Status MoveCatalogIntoPlace(const std::string& from, const std::string& to) {
  for (const char* suffix : sqlite::kSideFiles) unlink((to + suffix).c_str());
  return MoveIntoPlace(from, to);
}

// The right to write a backup to a name. A lock file stands beside the backup meanwhile.
class FileLock {
 public:
  // The lock counts only if the file that was locked still has its name: the holder before may have removed it in
  // between.
  static Result<FileLock> Take(const std::string& to) {
    const std::string path = to + ".lock";
    for (;;) {
      FileDescriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
      struct stat opened{};
      struct stat named{};
      if (!file.valid() || fstat(file.get(), &opened) != 0) {
        return Fail(Errc::kUnavailable, format("{} cannot be created: {}", path, std::strerror(errno)));
      }
      if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        return Fail(Errc::kUnavailable, format("another `metric-index backup` writes to {}: wait for its end", to));
      }
      if (stat(path.c_str(), &named) == 0 && named.st_ino == opened.st_ino) return FileLock(path, std::move(file));
    }
  }
  FileLock(FileLock&&) = default;
  ~FileLock() {
    if (file_.valid()) unlink(path_.c_str());
  }

 private:
  FileLock(std::string path, FileDescriptor file) : path_(std::move(path)), file_(std::move(file)) {}

  std::string path_;
  FileDescriptor file_;
};

Result<uint64_t> Backup(const config::Config& config, const std::string& to) {
  TRY(RequireStandalone(config, "backup"));
  // Also in the data directory of another process: each file there may be in use.
  if (std::filesystem::path folder = FolderOf(to); access((folder / "LOCK").c_str(), F_OK) == 0) {
    return Fail(Errc::kInvalid, format("{} is in a data directory: name a file in another folder", to));
  }
  const std::string unfinished = to + ".tmp";
  const FileLock alone = TRY(FileLock::Take(to));
  TRY(store::CopySqliteCatalog(CatalogOf(config), unfinished));
  Result<uint64_t> series = SeriesOfIntact(config, unfinished);
  if (const Status moved = series ? MoveCatalogIntoPlace(unfinished, to) : Status(); !moved)
    series = Fail(moved.error());
  if (!series) unlink(unfinished.c_str());
  return series;
}

Result<uint64_t> Restore(const config::Config& config, const std::string& from) {
  TRY(RequireStandalone(config, "restore"));
  const DataDirectory directory = TRY(DataDirectory::Open(config.app.data_dir));
  TRY(CompleteInstallation(directory));
  std::error_code error;
  if (std::filesystem::equivalent(from, CatalogOf(config), error)) {
    return Fail(Errc::kInvalid, format("{} is the catalogue itself: name a backup", from));
  }
  const uint64_t series = TRY(SeriesOfIntact(config, from));
  TRY(store::CopySqliteCatalog(from, IncomingCatalog(directory)));
  TRY(InstallCatalog(directory));
  return series;
}

}  // namespace

Status RequireStandalone(const config::Config& config, std::string_view command) {
  if (config.app.role_type == config::Role::kStandalone) return {};
  return Fail(Errc::kInvalid, format("{} is for app.role_type standalone, and it is {}: the catalogue of a fleet is in "
                                     "MySQL; use mysqldump --single-transaction, or the snapshots of your database",
                                     command, config::ToString(config.app.role_type)));
}

int BackupCatalog(const config::Config& config, const std::string& to) {
  const Result<uint64_t> series = Backup(config, to);
  if (series) return Print(format("{}: {} series, verified\n", to, *series));
  if (series.error().code() != Errc::kCorrupt) return Complain(ExitCodeOf(series.error()), series.error().message());
  return Complain(kExitFailed, format("no backup was written, the catalogue is damaged: {}", series.error().message()));
}

int RestoreCatalog(const config::Config& config, const std::string& from) {
  const Result<uint64_t> series = Restore(config, from);
  if (series) {
    return Print(
        format("{} series are restored to {}. What came after the backup is read from the journal as far as "
               "it still has it, and otherwise returns when it is sent again\n",
               *series, CatalogOf(config)));
  }
  if (series.error().code() != Errc::kCorrupt) return Complain(ExitCodeOf(series.error()), series.error().message());
  return Complain(kExitFailed, format("nothing was changed, the backup is damaged: {}", series.error().message()));
}

int CheckCatalog(const config::Config& config, const std::string& file) {
  if (const Status alone = RequireStandalone(config, "check"); file.empty() && !alone) {
    return Complain(ExitCodeOf(alone.error()), alone.error().message());
  }
  const std::string checked = file.empty() ? CatalogOf(config) : file;
  const Result<CheckReport> report = Check(config, checked);
  if (!report) return Complain(ExitCodeOf(report.error()), report.error().message());
  if (report->ok()) return Print(format("{}: {} series, no fault\n", checked, report->series));
  Print(DescribeFaults(*report, checked));
  return kExitFailed;
}

}  // namespace mi::app
