// `metric-index repair`.
#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>

#include "app/catalog_files.h"
#include "app/commands.h"
#include "app/data_directory.h"
#include "app/identity.h"
#include "app/process.h"
#include "base/clock.h"
#include "base/format.h"
#include "store/sqlite/check.h"
#include "store/sqlite/copy.h"
#include "store/sqlite/repair.h"
#include "stream/journal/file.h"

namespace mi::app {
namespace {

// Gives the damaged file, and its log, a second name. Where that is impossible, copies it.
Status KeepDamaged(const std::string& catalog, const std::string& kept) {
  for (const char* suffix : {"", "-wal"}) {
    std::error_code error;
    const bool empty = std::filesystem::file_size(catalog + suffix, error) == 0;
    if (error || empty) continue;
    std::filesystem::create_hard_link(catalog + suffix, kept + suffix, error);
    if (error) std::filesystem::copy_file(catalog + suffix, kept + suffix, error);
    if (error) return Fail(Errc::kUnavailable, format("{} cannot be kept as {}: {}", catalog, kept, error.message()));
  }
  return {};
}

std::string Describe(const store::RepairReport& report, const std::string& kept) {
  std::string text = format("{} series are kept", report.kept);
  if (report.known > report.kept) text += format(" of {}", report.known);
  text +=
      format("; {} rows were damaged, and at {} places rows could not be read\n", report.damaged, report.unreadable);
  for (const std::string& loss : report.shown) text += format("  {}\n", loss);
  if (report.without_times > 0) text += format("{} series have lost their times\n", report.without_times);
  return text + format("What is lost returns when it is sent again. The damaged file is {}\n", kept);
}

Result<std::string> Repair(const config::Config& config) {
  const DataDirectory directory = TRY(DataDirectory::Open(config.app.data_dir));
  TRY(CompleteInstallation(directory));
  const std::string catalog = directory.PathOf("catalog.db");
  const store::CheckReport checked =
      TRY(store::CheckSqliteCatalog({.path = catalog, .configured_secret = config.identity_secret}));
  if (checked.ok()) return format("{}: {} series, no fault: there is nothing to repair\n", catalog, checked.series);
  store::IdentitySecrets secrets = IdentitySecretsOf(config);
  if (secrets.configured.empty()) {
    const auto kept = stream::ReadJournalSecret(directory.PathOf("journal.db"));
    if (!kept && kept.error().code() == Errc::kInvalid) return Fail(kept.error());
    if (kept && *kept) secrets.if_new = **kept;
  }
  const int64_t now_ms = SystemClock().NowMs();
  const store::RepairReport report = TRY(store::RepairSqliteCatalog(
      {.from = catalog, .to = IncomingCatalog(directory), .secrets = secrets, .now_ms = now_ms}));
  if (report.kept == 0 && report.damaged > 0) {
    store::RemoveSqliteFiles(IncomingCatalog(directory));
    return Fail(Errc::kCorrupt,
                format("nothing was changed: none of the {} rows has the fingerprint of its content, so the secret is "
                       "probably lost: set identity.secret if you know it, or restore a backup",
                       report.damaged));
  }
  const std::string kept = format("{}.damaged-{}", catalog, now_ms / 1000);
  TRY(KeepDamaged(catalog, kept));
  TRY(InstallCatalog(directory));
  return Describe(report, kept);
}

}  // namespace

int RepairCatalog(const config::Config& config) {
  if (const Status alone = RequireStandalone(config, "repair"); !alone) {
    return Complain(kExitBadConfiguration, alone.error().message());
  }
  const Result<std::string> done = Repair(config);
  return done ? Print(*done) : Complain(ExitCodeOf(done.error()), done.error().message());
}

}  // namespace mi::app
