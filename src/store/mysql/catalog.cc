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

Status MysqlCatalog::Prepare() { return pool_->ReportAnswer(PrepareTables()); }
Status MysqlCatalog::Health() { return pool_->ReportAnswer(AskVersion()); }

// Looks without the lock first, which needs no right beyond SELECT: so a service that may not create tables starts when
// an administrator has made them. Then MakeMysqlSchema looks again under the lock, since several processes may come
// here at once.
Status MysqlCatalog::PrepareTables() {
  if (TRY(AreTablesCurrent())) return {};
  const MysqlLease patient = pool_->LendExtra(Purpose::kPrepare);
  TRY(patient->Open());
  return MakeMysqlSchema(*patient, pool_->options().secret_check);
}

// This look has the usual patience: a server that hangs is asked again later. Only making tables may take long.
Result<bool> MysqlCatalog::AreTablesCurrent() {
  const MysqlLease look = pool_->LendExtra(Purpose::kLook);
  const Status opened = look->Open();
  if (opened) return IsMysqlSchemaCurrent(*look, pool_->options().secret_check);
  if (look->last_number() != ER_BAD_DB_ERROR) return Fail(opened.error());
  TRY(CreateDatabase());
  return false;
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

Result<std::vector<std::string>> AdoptLegacyMysqlTables(const MysqlOptions& options) {
  const MysqlFaultListener nobody;
  MysqlConnection connection(options, Purpose::kPrepare, nobody);
  TRY(connection.Open());
  return AdoptMysqlTables(connection);
}

}  // namespace mi::store
