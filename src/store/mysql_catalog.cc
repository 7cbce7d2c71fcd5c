#include "store/mysql_catalog.h"

#include <mysqld_error.h>

#include <utility>

#include "base/format.h"
#include "store/mysql_catalog_reader.h"
#include "store/mysql_connection.h"
#include "store/mysql_pool.h"
#include "store/mysql_recognising_reader.h"
#include "store/mysql_schema.h"
#include "store/mysql_series_store.h"

namespace mi::store {
namespace {

using Purpose = MysqlConnection::Purpose;

class MysqlCatalogImpl final : public MysqlCatalog {
 public:
  MysqlCatalogImpl(MysqlOptions options, telemetry::Logger& log, telemetry::Metrics& metrics)
      : pool_(std::make_shared<MysqlPool>(std::move(options), log, metrics)) {}

  Status Prepare() override {
    Status prepared = PrepareTables();
    pool_->up().Looked(prepared.has_value());
    return prepared;
  }

  Status Health() override {
    Status healthy = Ask();
    pool_->up().Looked(healthy.has_value());
    return healthy;
  }

  size_t Interrupt() override { return pool_->Interrupt(); }

  std::unique_ptr<SeriesStore> OpenStore() override { return std::make_unique<MysqlSeriesStore>(pool_); }
  std::unique_ptr<CatalogReader> OpenReader() override {
    return std::make_unique<MysqlRecognisingReader>(pool_, std::make_unique<MysqlCatalogReader>(pool_));
  }

 private:
  Status PrepareTables() {
    const uint64_t secret_check = pool_->options().secret_check;
    const Result<bool> current = LookAtTables(secret_check);
    if (!current) return Fail(current.error());
    if (*current) return {};
    const MysqlLease patient = pool_->LendApart(Purpose::kPrepare);
    if (Status opened = patient->Open(); !opened) return opened;
    return MakeMysqlSchema(*patient, secret_check);
  }

  // Whether all is as it should be. As patient as any call: a server that hangs is asked again, not waited for.
  Result<bool> LookAtTables(uint64_t secret_check) {
    const MysqlLease look = pool_->LendApart(Purpose::kLook);
    const Status opened = look->Open();
    if (opened) return IsMysqlSchemaCurrent(*look, secret_check);
    if (look->last_number() != ER_BAD_DB_ERROR) return Fail(opened.error());
    if (const Status made = MakeDatabase(); !made) return Fail(made.error());
    return false;
  }

  Status MakeDatabase() {
    const MysqlOptions& options = pool_->options();
    const MysqlLease server = pool_->LendApart(Purpose::kWithoutDatabase);
    if (Status opened = server->Open(); !opened) return opened;
    Status created = CreateMysqlDatabase(*server);
    if (created) {
      pool_->log().Info("{}: made the database \"{}\"", AddressOf(options), options.db_name);
      return {};
    }
    if (created.error().code() != Errc::kInvalid) return created;
    return Fail(Errc::kInvalid,
                format("{} has no database \"{}\" (mysql.db_name), and user \"{}\" may not make it; an administrator "
                       "runs: {};",
                       AddressOf(options), options.db_name, options.user, MysqlDatabaseSql(options.db_name)));
  }

  Status Ask() {
    Result<MysqlLease> connection = pool_->Take();
    if (!connection) return Fail(connection.error());
    Result<MysqlStatement*> select = (*connection)->Prepare("SELECT version FROM schema_version");
    if (!select) return Fail(select.error());
    return (*select)->Run();
  }

  const std::shared_ptr<MysqlPool> pool_;
};

}  // namespace

std::unique_ptr<MysqlCatalog> MysqlCatalog::Create(MysqlOptions options, telemetry::Logger& log,
                                                   telemetry::Metrics& metrics) {
  return std::make_unique<MysqlCatalogImpl>(std::move(options), log, metrics);
}

Result<std::vector<std::string>> AdoptLegacyMysqlTables(const MysqlOptions& options) {
  const MysqlFaultListener nobody;
  const Result<std::unique_ptr<MysqlConnection>> connection =
      MysqlConnection::Connect(options, Purpose::kPrepare, nobody);
  if (!connection) return Fail(connection.error());
  return AdoptMysqlTables(**connection);
}

}  // namespace mi::store
