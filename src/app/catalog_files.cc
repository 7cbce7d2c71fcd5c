#include "app/catalog_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/format.h"
#include "sqlite/database.h"
#include "sqlite/side_files.h"

namespace mi::app {
namespace {

constexpr std::string_view kCatalog = "catalog.db";
constexpr std::string_view kIncoming = "catalog.db.incoming";
constexpr std::string_view kUnfinished = "catalog.db.incoming.tmp";
constexpr std::string_view kJournal = "journal.db";

bool Exists(const std::string& path) {
  struct stat found{};
  return lstat(path.c_str(), &found) == 0;
}

Status Remove(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return Fail(Errc::kUnavailable, format("{} cannot be deleted: {}", path, std::strerror(errno)));
}

Status Rename(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0 || errno == ENOENT) return {};
  return Fail(Errc::kUnavailable, format("{} cannot be renamed to {}: {}", from, to, std::strerror(errno)));
}

// The check value of the secret with which the journal's fingerprints were made. Nothing if it cannot be read: opening
// the journal reports that.
std::optional<std::string> JournalSecretCheck(const std::string& path) {
  auto database = sqlite::Database::Open(path, {.read_only = true});
  if (!database) return std::nullopt;
  const auto check = database->QueryInt("SELECT value FROM meta WHERE key = 'secret_check'");
  return check ? std::optional(format("{:016x}", static_cast<uint64_t>(*check))) : std::nullopt;
}

Result<std::string> CatalogSecretCheck(const std::string& path) {
  sqlite::Database database = TRY(sqlite::Database::Open(path, {.read_only = true}));
  sqlite::Statement check = TRY(database.Prepare("SELECT secret_check FROM schema_version"));
  TRY(check.Step());
  return std::string(check.Text(0));
}

// The fingerprints of a journal that another secret made mean nothing to the new catalogue. Its rows are kept for
// people; their series return when they are sent again.
Status SetAsideForeignJournal(const DataDirectory& directory) {
  const std::string journal = directory.PathOf(kJournal);
  if (!Exists(journal)) return {};
  const std::optional<std::string> made_with = JournalSecretCheck(journal);
  if (!made_with || *made_with == TRY(CatalogSecretCheck(directory.PathOf(kIncoming)))) return {};
  const std::string aside = journal + ".other-secret";
  TRY(Rename(journal + "-wal", aside + "-wal"));
  TRY(Remove(journal + "-shm"));
  return Rename(journal, aside);
}

// The owner of the folder also owns the catalogue, so root may run the commands.
void GiveToOwnerOf(const std::string& folder, const std::string& file) {
  struct stat owner{};
  if (geteuid() != 0 || stat(folder.c_str(), &owner) != 0) return;
  if (chown(file.c_str(), owner.st_uid, owner.st_gid) != 0) std::perror(file.c_str());
}

}  // namespace

std::string IncomingCatalog(const DataDirectory& directory) { return directory.PathOf(kUnfinished); }

Status InstallCatalog(const DataDirectory& directory) {
  GiveToOwnerOf(directory.PathOf(""), directory.PathOf(kUnfinished));
  TRY(Rename(directory.PathOf(kUnfinished), directory.PathOf(kIncoming)));
  TRY(directory.Sync());
  TRY(CompleteInstallation(directory));
  return {};
}

// Each step may be repeated, and the last one ends the matter. The snapshot knows series that the new catalogue may not
// have. The log of the old file (sqlite/side_files.h) must be gone for good, also after a power cut, before the new
// file gets its name. The journal stays: its rows are applied again as far as it still has them.
Result<bool> CompleteInstallation(const DataDirectory& directory) {
  if (!Exists(directory.PathOf(kIncoming))) return false;
  for (const char* file : {"seen.snapshot", "seen.snapshot.tmp"}) TRY(Remove(directory.PathOf(file)));
  TRY(SetAsideForeignJournal(directory));
  for (const char* suffix : sqlite::kSideFiles) {
    TRY(Remove(directory.PathOf(std::string(kCatalog) + suffix)));
    TRY(Remove(directory.PathOf(std::string(kIncoming) + suffix)));
  }
  TRY(directory.Sync());
  TRY(Rename(directory.PathOf(kIncoming), directory.PathOf(kCatalog)));
  TRY(directory.Sync());
  return true;
}

}  // namespace mi::app
