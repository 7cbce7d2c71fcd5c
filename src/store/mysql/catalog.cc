#include "store/mysql/catalog.h"

#include <mysqld_error.h>

#include <cassert>
#include <utility>

#include "base/format.h"
#include "store/mysql/catalog_reader.h"
#include "store/mysql/schema.h"
#include "store/mysql/series_store.h"

namespace mi::store {

using Purpose = MysqlConnection::Purpose;

MysqlCatalog::MysqlCatalog(MysqlOptions options, MysqlDeps deps)
    : pool_(std::make_shared<MysqlPool>(std::move(options), std::move(deps))) {
  assert(pool_->options().longest_transaction >= std::chrono::seconds(2) && pool_->options().max_open_conns >= 1);
}

std::unique_ptr<SeriesStore> MysqlCatalog::OpenStore() { return std::make_unique<MysqlSeriesStore>(pool_); }
std::unique_ptr<CatalogReader> MysqlCatalog::OpenReader() { return std::make_unique<MysqlCatalogReader>(pool_); }
size_t MysqlCatalog::Interrupt() { return pool_->Interrupt(); }

Status MysqlCatalog::Prepare() {
  const Result<CatalogIdentity> found = PrepareTables();
  if (found) TRY(pool_->UseCatalog(*found));
  return pool_->ReportAnswer(found ? Status() : Fail(found.error()));
}

std::string MysqlCatalog::identity_secret() const { return pool_->identity_secret(); }

Status MysqlCatalog::Health() { return pool_->ReportAnswer(AskVersion()); }

// Looks without the lock first, which needs no right beyond SELECT: so a service that may not create tables starts when
// an administrator has made them. Then MakeMysqlSchema looks again under the lock, since several processes may come
// here at once.
Result<CatalogIdentity> MysqlCatalog::PrepareTables() {
  if (std::optional<CatalogIdentity> found = TRY(FindTables())) return *std::move(found);
  const MysqlLease patient = pool_->LendExtra(Purpose::kPrepare);
  TRY(patient->Open());
  return MakeMysqlSchema(*patient, pool_->options().secrets);
}

// This look has the usual patience: a server that hangs is asked again later. Only making tables may take long.
Result<std::optional<CatalogIdentity>> MysqlCatalog::FindTables() {
  const MysqlLease look = pool_->LendExtra(Purpose::kLook);
  const Status opened = look->Open();
  if (opened) return FindMysqlSchema(*look, pool_->options().secrets.configured);
  if (look->last_number() != ER_BAD_DB_ERROR) return Fail(opened.error());
  TRY(CreateDatabase());
  return std::nullopt;
}

Status MysqlCatalog::CreateDatabase() {
  const MysqlOptions& options = pool_->options();
  const MysqlLease server = pool_->LendExtra(Purpose::kWithoutDatabase);
  TRY(server->Open());
  const Status created = server->Exec(MysqlDatabaseSql(options.db_name));
  if (created) {
    pool_->log().Info("{}: created the database \"{}\"", AddressOf(options), options.db_name);
    return {};
  }
  if (created.error().code() != Errc::kInvalid) return created;
  return Fail(Errc::kInvalid,
              format("{} has no database \"{}\" (mysql.db_name), and user \"{}\" may not make it; an administrator "
                     "runs: {};",
                     AddressOf(options), options.db_name, options.user, MysqlDatabaseSql(options.db_name)));
}

Status MysqlCatalog::AskVersion() {
  const MysqlLease connection = TRY(pool_->Take());
  TRY(connection->Query("SELECT version FROM schema_version"));
  return {};
}

Result<std::string> ReadMysqlIdentitySecret(const MysqlOptions& options) {
  const MysqlFaultListener nobody;
  MysqlConnection connection(options, Purpose::kLook, nobody);
  TRY(connection.Open());
  return TRY(CheckMysqlSchema(connection, options.secrets.configured)).secret;
}

Result<std::vector<std::string>> AdoptLegacyMysqlTables(const MysqlOptions& options) {
  const MysqlFaultListener nobody;
  MysqlConnection connection(options, Purpose::kPrepare, nobody);
  TRY(connection.Open());
  return AdoptMysqlTables(connection);
}

}  // namespace mi::store
