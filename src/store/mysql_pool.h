// The connections to the database: opened when they are needed, shared by stores and readers, bounded.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "store/mysql_catalog.h"
#include "store/mysql_connection.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::store {

class MysqlPool;

// A connection, lent. Goes back to the pool, or is closed when it is broken. Must not outlive the pool.
class MysqlLease {
 public:
  MysqlLease(MysqlPool& pool, std::unique_ptr<MysqlConnection> connection)
      : pool_(&pool), connection_(std::move(connection)) {}
  MysqlLease(MysqlLease&&) = default;
  MysqlLease& operator=(MysqlLease&&) = delete;
  ~MysqlLease();

  MysqlConnection& operator*() const { return *connection_; }
  MysqlConnection* operator->() const { return connection_.get(); }

 private:
  MysqlPool* pool_;
  std::unique_ptr<MysqlConnection> connection_;
};

// Threads: safe. Ownership: shared by the catalogue, its stores and readers; leases come before its end.
class MysqlPool {
 public:
  MysqlPool(MysqlOptions options, telemetry::Logger& log, telemetry::Metrics& metrics);

  // kUnavailable: no connection, with the reason. kOverloaded: mysql.max_open_conns are in use, and stayed so for
  // connect_timeout.
  Result<MysqlLease> Take();

  // Moves on whenever connections were lost: what was cached from the database may not hold any more (a restored
  // backup).
  uint64_t epoch() const { return epoch_; }

  const MysqlOptions& options() const { return options_; }
  const MysqlFaultListener& fault_listener() const { return fault_listener_; }
  telemetry::Logger& log() const { return log_; }
  telemetry::Metrics& metrics() const { return metrics_; }

 private:
  friend class MysqlLease;
  using Time = std::chrono::steady_clock::time_point;
  struct Idle {
    std::unique_ptr<MysqlConnection> connection;
    Time since;
  };

  Result<std::unique_ptr<MysqlConnection>> TakeIdleOrReserve();
  Result<std::unique_ptr<MysqlConnection>> Open();
  // Every connection must lead to the catalogue that the first one found.
  Status CheckCatalog(MysqlConnection& connection);
  void GiveBack(std::unique_ptr<MysqlConnection> connection);
  void ForgetOne();

  const MysqlOptions options_;
  telemetry::Logger& log_;
  telemetry::Metrics& metrics_;
  telemetry::Gauge& open_gauge_;
  MysqlFaultListener fault_listener_;
  std::atomic<uint64_t> epoch_ = 1;

  Mutex mutex_;
  CondVar returned_;
  std::vector<Idle> idle_ GUARDED_BY(mutex_);  // the last one was used last
  size_t open_ GUARDED_BY(mutex_) = 0;         // idle, lent, or being opened
  std::string uuid_ GUARDED_BY(mutex_);
};

}  // namespace mi::store
