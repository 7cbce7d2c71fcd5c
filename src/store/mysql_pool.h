// The connections to the database: opened when they are needed, shared by stores and readers, bounded.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <list>
#include <memory>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "store/mysql_catalog.h"
#include "store/mysql_connection.h"
#include "store/mysql_up.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::store {

class MysqlPool;

// A connection of a pool. It goes from list to list without an allocation: a lease ends while memory is short, too.
struct MysqlPooled {
  std::unique_ptr<MysqlConnection> connection;
  bool apart = false;   // neither counted nor kept
  bool opened = false;  // it was there, so that it can be lost
  std::string uuid;     // of the catalogue that it was opened on
  std::chrono::steady_clock::time_point idle_since;
};
using MysqlLent = std::list<MysqlPooled>::iterator;

// A connection, lent. Goes back to the pool, or is closed when it is broken, or when an exception ends the lease: in
// the middle of what, nobody knows. Must not outlive the pool.
class MysqlLease {
 public:
  MysqlLease(MysqlPool& pool, MysqlLent lent) : pool_(&pool), lent_(lent) {}
  MysqlLease(MysqlLease&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), lent_(other.lent_), exceptions_(other.exceptions_) {}
  MysqlLease& operator=(MysqlLease&&) = delete;
  ~MysqlLease();

  MysqlConnection& operator*() const { return *lent_->connection; }
  MysqlConnection* operator->() const { return lent_->connection.get(); }
  // Of the catalogue: ids and what else is known of another one mean nothing here.
  const std::string& uuid() const { return lent_->uuid; }

 private:
  MysqlPool* pool_;
  MysqlLent lent_;
  int exceptions_ = std::uncaught_exceptions();
};

// Threads: safe. Ownership: shared by the catalogue, its stores and readers; leases come before its end.
class MysqlPool {
 public:
  MysqlPool(MysqlOptions options, telemetry::Logger& log, telemetry::Metrics& metrics);

  // kUnavailable: no connection, with the reason. kOverloaded: mysql.max_open_conns are in use, and stayed so for
  // connect_timeout.
  Result<MysqlLease> Take();

  // A connection of its own, still to be opened, which is closed with the lease: for what is done before the tables are
  // there, or takes long.
  MysqlLease LendApart(MysqlConnection::Purpose purpose);

  // Ends the calls that are under way, and refuses all that come: kUnavailable. Gives how many were under way.
  size_t Interrupt();

  // Moves on whenever connections were lost: what was cached from the database may not hold any more (a restored
  // backup).
  uint64_t epoch() const { return epoch_; }

  // How often another catalogue took the place of the one that was there.
  uint64_t replaced() const { return replaced_; }

  const MysqlOptions& options() const { return options_; }
  const MysqlFaultListener& fault_listener() const { return fault_listener_; }
  // One that no connection reports.
  void CountFault(MysqlFault fault) const { fault_listener_(fault); }
  telemetry::Logger& log() const { return log_; }
  telemetry::Metrics& metrics() const { return metrics_; }
  MysqlUp& up() { return up_; }

 private:
  friend class MysqlLease;
  using Time = std::chrono::steady_clock::time_point;

  // One that is to be opened, or one that was idle. Waits while all are in use.
  Result<MysqlLent> Reserve();
  Status Open(MysqlPooled& fresh);
  // Notes which catalogue it is; another one may have come in its place.
  Status RecogniseCatalog(MysqlPooled& fresh);
  void GiveBack(MysqlLent lent) noexcept;
  MysqlPooled Make(MysqlConnection::Purpose purpose) const;
  // Whoever was idle goes to `closing`, to be closed without the lock.
  void LoseIdle(std::list<MysqlPooled>& closing) noexcept REQUIRES(mutex_);

  const MysqlOptions options_;
  telemetry::Logger& log_;
  telemetry::Metrics& metrics_;
  telemetry::Gauge& open_gauge_;
  MysqlUp up_;
  MysqlFaultListener fault_listener_;
  std::atomic<uint64_t> epoch_ = 1;
  std::atomic<uint64_t> replaced_ = 0;

  Mutex mutex_;
  CondVar returned_;
  std::list<MysqlPooled> idle_ GUARDED_BY(mutex_);  // the last one was used last
  std::list<MysqlPooled> lent_ GUARDED_BY(mutex_);  // or being opened
  std::list<MysqlPooled> apart_ GUARDED_BY(mutex_);
  bool interrupted_ GUARDED_BY(mutex_) = false;
  std::string uuid_ GUARDED_BY(mutex_);  // that the last one was opened on
};

}  // namespace mi::store
