// The connections to the database: opened when they are needed, shared by stores and readers, bounded.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fatal.h"
#include "base/mutex.h"
#include "store/identity_secrets.h"
#include "store/mysql/connection.h"
#include "store/mysql/options.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::store {

struct MysqlDeps {
  telemetry::Logger& log;
  telemetry::Metrics& metrics;
  FatalHandler fatal;  // see SeriesStore
};

class MysqlPool;

// Returns a connection to its pool, which closes it if it is broken.
struct ReturnToPool {
  MysqlPool* pool;
  void operator()(MysqlConnection* connection) const;
};
// A borrowed connection. Must not outlive the pool.
using MysqlLease = std::unique_ptr<MysqlConnection, ReturnToPool>;

// Threads: safe. Ownership: shared by the catalogue, its stores and readers; leases end first.
class MysqlPool {
 public:
  MysqlPool(MysqlOptions options, MysqlDeps deps);

  // kUnavailable: no connection, with the reason; also if all of mysql.max_open_conns are in use, and were for
  // connect_timeout. Fatal: the connection leads to another catalogue than the first one.
  Result<MysqlLease> Take();

  // An extra connection, which is not open yet and is closed with the lease: for work before the tables exist, or work
  // that takes long.
  MysqlLease LendExtra(MysqlConnection::Purpose purpose);

  // The first catalogue that is found is the one that this process uses: it makes fingerprints with the secret and
  // remembers ids. Any other uuid is kCorrupt and fatal.
  Status UseCatalog(const CatalogIdentity& found);
  Status ExpectCatalog(std::string_view uuid);
  // Asks the database for the uuid and expects it. Within a transaction, the answer holds until the end of the
  // transaction, since DROP waits for it. Returns the server's clock, ms since the epoch.
  Result<uint64_t> ConfirmCatalog(MysqlConnection& connection);
  // Requires: a connection was taken.
  std::string identity_secret();

  // Ends the calls that are under way and refuses all that follow, with kUnavailable. Returns how many were under way.
  size_t Interrupt();

  // The gauge store_up: 1 while the server answers, and takes what each store writes. A server that answers may still
  // be read-only, full or locked.
  Status ReportAnswer(Status answer);                       // returns it
  void ReportWrite(const void* store, const Error* error);  // nullptr: the server took it
  void ForgetWriter(const void* store);

  const MysqlOptions& options() const { return options_; }
  telemetry::Logger& log() const { return deps_.log; }
  telemetry::Metrics& metrics() const { return deps_.metrics; }
  const FatalHandler& fatal() const { return deps_.fatal; }
  // A fault that no connection reported.
  void CountFault(MysqlFault fault) const { count_fault_(fault); }

 private:
  friend struct ReturnToPool;
  using Time = std::chrono::steady_clock::time_point;
  struct Idle {
    std::unique_ptr<MysqlConnection> connection;
    Time since;
  };

  // An idle connection, or a place for a new one (connection == nullptr). Waits while all are in use.
  Result<Idle> Reserve();
  MysqlLease Lend(std::unique_ptr<MysqlConnection> connection);
  Status CheckCatalog(MysqlConnection& connection);
  void Return(std::unique_ptr<MysqlConnection> connection);
  void ShowUp() REQUIRES(mutex_) { up_gauge_.Set(answers_ && refused_writers_.empty() ? 1 : 0); }
  void ShowOpen() REQUIRES(mutex_) { open_gauge_.Set(static_cast<double>(idle_.size() + serving_)); }

  const MysqlOptions options_;
  const MysqlDeps deps_;
  telemetry::Gauge& open_gauge_;
  telemetry::Gauge& up_gauge_;
  const MysqlFaultListener count_fault_;

  Mutex mutex_;
  CondVar returned_;
  std::vector<Idle> idle_ GUARDED_BY(mutex_);           // the last one was used last
  std::set<MysqlConnection*> lent_ GUARDED_BY(mutex_);  // owned by their leases
  size_t serving_ GUARDED_BY(mutex_) = 0;               // of lent_ those that count for max_open_conns
  bool interrupted_ GUARDED_BY(mutex_) = false;
  CatalogIdentity catalog_ GUARDED_BY(mutex_);  // that this process uses
  bool answers_ GUARDED_BY(mutex_) = false;
  std::set<const void*> refused_writers_ GUARDED_BY(mutex_);  // the last call of each failed
};

}  // namespace mi::store
