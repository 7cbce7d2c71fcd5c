#include "store/mysql_pool.h"

#include <array>

#include "base/format.h"
#include "store/mysql_schema.h"

namespace mi::store {
namespace {

// A connection that was idle for longer is asked whether it is still there: the server closes idle ones, and so do
// balancers between.
constexpr std::chrono::seconds kTrusted{5};

MysqlFaultListener CountFaults(telemetry::Metrics& metrics) {
  std::array<telemetry::Counter*, kMysqlFaults> counters{};
  for (size_t i = 0; i < kMysqlFaults; ++i) {
    counters[i] = &metrics.GetCounter("store_errors_total", "Errors of the SQL database, by kind.",
                                      {{"kind", std::string(ToString(static_cast<MysqlFault>(i)))}});
  }
  return [counters](MysqlFault fault) { counters[static_cast<size_t>(fault)]->Add(); };
}

}  // namespace

MysqlLease::~MysqlLease() {
  if (connection_ != nullptr) pool_->GiveBack(std::move(connection_));
}

MysqlPool::MysqlPool(MysqlOptions options, telemetry::Logger& log, telemetry::Metrics& metrics)
    : options_(std::move(options)),
      log_(log),
      metrics_(metrics),
      open_gauge_(metrics.GetGauge("store_connections", "Open connections to the SQL database.")),
      fault_listener_(CountFaults(metrics)) {}

Result<MysqlLease> MysqlPool::Take() {
  for (;;) {
    Result<std::unique_ptr<MysqlConnection>> connection = TakeIdleOrReserve();
    if (!connection) return Fail(connection.error());
    if (*connection == nullptr) {
      connection = Open();
      if (!connection) return Fail(connection.error());
      return MysqlLease(*this, *std::move(connection));
    }
    if (!(*connection)->broken()) return MysqlLease(*this, *std::move(connection));
    GiveBack(*std::move(connection));
  }
}

// Null: there is room for one more, and it is counted already.
Result<std::unique_ptr<MysqlConnection>> MysqlPool::TakeIdleOrReserve() {
  const Time deadline = std::chrono::steady_clock::now() + options_.connect_timeout;
  Idle idle;
  {
    MutexLock lock(mutex_);
    while (idle_.empty() && open_ >= options_.max_open_conns) {
      if (!returned_.WaitUntil(mutex_, deadline)) {
        return Fail(Errc::kOverloaded, format("{}: all {} connections are in use (mysql.max_open_conns)",
                                              AddressOf(options_), options_.max_open_conns));
      }
    }
    if (idle_.empty()) {
      open_gauge_.Set(static_cast<double>(++open_));
      return nullptr;
    }
    idle = std::move(idle_.back());
    idle_.pop_back();
  }
  if (std::chrono::steady_clock::now() - idle.since > kTrusted) (void)idle.connection->Ping();
  return std::move(idle.connection);
}

Result<std::unique_ptr<MysqlConnection>> MysqlPool::Open() {
  Result<std::unique_ptr<MysqlConnection>> connection =
      MysqlConnection::Connect(options_, MysqlConnection::Purpose::kServe, fault_listener_);
  Status checked = connection ? CheckCatalog(**connection) : Fail(connection.error());
  if (checked) return connection;
  ForgetOne();
  return Fail(checked.error());
}

Status MysqlPool::CheckCatalog(MysqlConnection& connection) {
  const Result<std::string> uuid = CheckMysqlSchema(connection, options_.secret_check);
  if (!uuid) {
    // The record that is being applied has no part in it.
    if (uuid.error().code() != Errc::kInvalid) return Fail(uuid.error());
    return Fail(Errc::kUnavailable, uuid.error().message());
  }
  MutexLock lock(mutex_);
  if (uuid_.empty()) uuid_ = *uuid;
  if (uuid_ == *uuid) return {};
  return Fail(Errc::kCorrupt,
              format("{}: database \"{}\" was replaced while it was in use: it is catalogue {} now, and "
                     "was {}: restart",
                     AddressOf(options_), options_.db_name, *uuid, uuid_));
}

void MysqlPool::GiveBack(std::unique_ptr<MysqlConnection> connection) {
  std::vector<Idle> closing;
  {
    MutexLock lock(mutex_);
    if (connection->broken()) {
      // The others have most likely gone the same way: better opened anew than tried one after the other.
      ++epoch_;
      closing = std::move(idle_);
      idle_.clear();
      closing.push_back({std::move(connection), {}});
    } else if (idle_.size() >= options_.max_idle_conns) {
      closing.push_back({std::move(connection), {}});
    } else {
      idle_.push_back({std::move(connection), std::chrono::steady_clock::now()});
    }
    open_ -= closing.size();
    open_gauge_.Set(static_cast<double>(open_));
  }
  returned_.NotifyAll();
}

void MysqlPool::ForgetOne() {
  {
    MutexLock lock(mutex_);
    open_gauge_.Set(static_cast<double>(--open_));
  }
  returned_.NotifyOne();
}

}  // namespace mi::store
