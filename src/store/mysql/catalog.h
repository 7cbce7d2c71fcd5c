// The catalogue in a MySQL or MariaDB database: prepares it, and opens its writers and readers.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/identity_secrets.h"
#include "store/mysql/options.h"
#include "store/mysql/pool.h"
#include "store/ports.h"

namespace mi::store {

// Threads: safe. Ownership: stores and readers share the pool of connections and may outlive this object, but not the
// log and the metrics.
// Errors: kUnavailable: the server is away, not ready or read-only: try again. kInvalid: a person is needed (wrong
// password, unknown database, missing rights, tables that are not ours, another secret); the message names the option
// or gives the SQL. Stores and readers never return kInvalid for these, because it would count as a fault of the
// record.
class MysqlCatalog {
 public:
  // Does not connect. Requires: longest_transaction >= 2 s, max_open_conns >= 1.
  MysqlCatalog(MysqlOptions options, MysqlDeps deps);

  // Connects. Creates the database and the tables if they are missing and migrates older ones, under a lock, so several
  // processes may start at once. Refuses, without any change: a newer schema, another identity.secret, the tables of
  // the service that this one replaces.
  Status Prepare();

  // With which the fingerprints in it are made. Requires: Prepare() has succeeded.
  std::string identity_secret() const;

  // Whether the server answers and has our tables. A replica is healthy, for readers; the gauge store_up also tells
  // whether stores can write.
  Status Health();

  // Ends the calls of stores, readers and this object that wait for the server, and fails all that follow, with
  // kUnavailable: for a stop that cannot wait. A transaction that is under way is rolled back, or committed without an
  // answer. Returns how many calls were under way; one that is just connecting takes up to connect_timeout.
  size_t Interrupt();

  // They connect at their first call, and again after each failure.
  std::unique_ptr<SeriesStore> OpenStore();
  std::unique_ptr<CatalogReader> OpenReader();

 private:
  Result<CatalogIdentity> PrepareTables();
  // Nothing if the tables are not as this version needs them. Creates the database if it is missing.
  Result<std::optional<CatalogIdentity>> FindTables();
  Status CreateDatabase();
  Status AskVersion();

  const std::shared_ptr<MysqlPool> pool_;
};

// The secret of the catalogue in the database, for a process that makes fingerprints but uses no tables. Looks once,
// on a connection of its own, and makes nothing. Errors: as MysqlCatalog::Prepare; kUnavailable if there is no
// catalogue yet.
Result<std::string> ReadMysqlIdentitySecret(const MysqlOptions& options);

// Renames the tables of the service that this one replaces to legacy_*: all or none. Returns one line per table; none
// if there are no such tables. kInvalid, and nothing is done: the tables are ours, or a table legacy_* exists already.
Result<std::vector<std::string>> AdoptLegacyMysqlTables(const MysqlOptions& options);

}  // namespace mi::store
