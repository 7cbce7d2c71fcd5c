// The catalogue in a MySQL or MariaDB database: prepares it, and opens its writers and readers.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/ports.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::store {

struct MysqlTlsOptions {
  std::string mode = "off";  // mysql.tls.mode: off, required (encrypted), verify (and the server's certificate checked)
  std::string ca;            // files
  std::string cert;
  std::string key;
};

// How many rows go to the server at once.
enum class MysqlBulk {
  kArrays,    // arrays of parameters where the server takes them (MariaDB), else as kMultiRow
  kMultiRow,  // INSERT with many rows: every server
};

struct MysqlOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 3306;
  std::string socket;  // a unix socket; wins over host and port
  std::string user = "metric-index";
  std::string password;
  std::string db_name = "metric-index";
  size_t max_open_conns = 16;
  size_t max_idle_conns = 8;
  MysqlTlsOptions tls;

  uint64_t secret_check = 0;                // model::SecretCheck(identity.secret)
  uint64_t dictionary_bytes = 64 << 20;     // ids of label names and values in a store's memory
  std::chrono::seconds connect_timeout{5};  // and how long a call waits for one of max_open_conns
  // From the moment that ids are given until they are seen by others, or never: a store gives up after half of it, and
  // a reader looks back by all of it. At least 2 s.
  std::chrono::seconds longest_transaction{30};
  MysqlBulk bulk = MysqlBulk::kArrays;
};

// A pool of connections, of which each call of a store or reader takes one.
//
// Threads: safe. Ownership: stores and readers share the pool and may outlive this object, but neither log nor metrics.
// Errors: kUnavailable: the server is away, not ready or only reads: try again. kInvalid: a person is needed (wrong
// password, unknown database, missing rights, tables that are not ours, another secret); the text names the knob or
// gives the SQL. Stores and readers never give kInvalid for these: it would count as a fault of the record.
class MysqlCatalog {
 public:
  // Does not connect. Requires: longest_transaction >= 2 s, max_open_conns >= 1.
  static std::unique_ptr<MysqlCatalog> Create(MysqlOptions options, telemetry::Logger& log,
                                              telemetry::Metrics& metrics);
  virtual ~MysqlCatalog() = default;

  // Connects; makes the database and the tables when they are missing, migrates older ones, under a lock: several
  // processes may start at once. Refuses, and changes nothing: a newer schema, another identity.secret, the tables of
  // the service that this one replaces.
  virtual Status Prepare() = 0;

  // Whether the server answers and holds our tables. (A replica is healthy, for those who read; the gauge store_up says
  // whether stores can write, too.)
  virtual Status Health() = 0;

  // Ends the calls of stores and readers, and those here, that wait for the server, and fails all that come, with
  // kUnavailable: for a stop that cannot wait. A transaction that was under way is rolled back, or committed without an
  // answer. Gives how many calls were under way; one that is just connecting takes up to connect_timeout. Threads: any.
  virtual size_t Interrupt() = 0;

  // They connect when they are first used, and again after each failure.
  virtual std::unique_ptr<SeriesStore> OpenStore() = 0;
  virtual std::unique_ptr<CatalogReader> OpenReader() = 0;
};

// Renames the tables of the service that this one replaces to legacy_*, all or none; gives what was done, a line a
// table (none: there are no such tables). kInvalid, and nothing is done: the tables are ours, or one is called legacy_
// already.
Result<std::vector<std::string>> AdoptLegacyMysqlTables(const MysqlOptions& options);

}  // namespace mi::store
