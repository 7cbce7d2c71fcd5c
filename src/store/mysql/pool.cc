#include "store/mysql/pool.h"

#include <array>

#include "base/format.h"
#include "store/mysql/schema.h"

namespace mi::store {
namespace {

// A connection that was idle for longer is pinged first: servers and load balancers close idle connections.
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

void ReturnToPool::operator()(MysqlConnection* connection) const {
  pool->Return(std::unique_ptr<MysqlConnection>(connection));
}

// A connection is idle (idle_), lent (lent_), or being moved between them by one thread. Nothing waits for the server
// while it holds the mutex: Reserve only takes a place, so serving_ is right before the connection exists, and opening,
// pinging and closing happen outside.
//
//   Take:  Reserve (mutex) ──> Lend (mutex) ──> open or ping ──> lease ──> Return (mutex) ──> idle, or closed
//
// Interrupt may come at any point. A thread that waits in Reserve wakes up and fails. A thread between Reserve and Lend
// is not in lent_ yet, but Lend looks at interrupted_ and cancels. Everything after Lend is in lent_ and is cancelled
// by Interrupt. Return removes a connection from lent_ before it is destroyed, so Interrupt never touches a dead one.
MysqlPool::MysqlPool(MysqlOptions options, MysqlDeps deps)
    : options_(std::move(options)),
      deps_(std::move(deps)),
      open_gauge_(deps_.metrics.GetGauge("store_connections", "Open connections to the SQL database.")),
      up_gauge_(deps_.metrics.GetGauge(
          "store_up", "1 while the SQL database answers and takes what is written into it, 0 while it does not.")),
      count_fault_(CountFaults(deps_.metrics)) {}

Result<MysqlLease> MysqlPool::Take() {
  for (;;) {
    Idle reserved = TRY(Reserve());
    if (reserved.connection != nullptr) {
      MysqlLease lease = Lend(std::move(reserved.connection));
      if (std::chrono::steady_clock::now() - reserved.since <= kTrusted || lease->Ping()) return lease;
      continue;
    }
    MysqlLease lease =
        Lend(std::make_unique<MysqlConnection>(options_, MysqlConnection::Purpose::kServe, count_fault_));
    Status usable = lease->Open();
    if (usable) usable = CheckCatalog(*lease);
    if (usable) return lease;
    lease->Break();
    return Fail(usable.error());
  }
}

MysqlLease MysqlPool::LendExtra(MysqlConnection::Purpose purpose) {
  return Lend(std::make_unique<MysqlConnection>(options_, purpose, count_fault_));
}

Result<MysqlPool::Idle> MysqlPool::Reserve() {
  const Time deadline = std::chrono::steady_clock::now() + options_.connect_timeout;
  MutexLock lock(mutex_);
  while (!interrupted_ && idle_.empty() && serving_ >= options_.max_open_conns) {
    if (!returned_.WaitUntil(mutex_, deadline)) {
      CountFault(MysqlFault::kTimeout);
      return Fail(Errc::kUnavailable, format("{}: all {} connections are in use (mysql.max_open_conns)",
                                             AddressOf(options_), options_.max_open_conns));
    }
  }
  if (interrupted_) return Fail(Errc::kUnavailable, format("{}: given up, for a stop", AddressOf(options_)));
  Idle reserved{};
  if (!idle_.empty()) {
    reserved = std::move(idle_.back());
    idle_.pop_back();
  }
  ++serving_;
  ShowOpen();
  return reserved;
}

MysqlLease MysqlPool::Lend(std::unique_ptr<MysqlConnection> connection) {
  MutexLock lock(mutex_);
  lent_.insert(connection.get());
  if (interrupted_) connection->Cancel();
  return {connection.release(), ReturnToPool{this}};
}

Status MysqlPool::CheckCatalog(MysqlConnection& connection) {
  const Result<CatalogIdentity> found = CheckMysqlSchema(connection, options_.secrets.configured);
  if (!found && found.error().code() == Errc::kInvalid) {
    // Not the fault of the record that is being applied.
    CountFault(MysqlFault::kDenied);
    return Fail(Errc::kUnavailable, found.error().message());
  }
  if (!found) return Fail(found.error());
  return UseCatalog(*found);
}

Result<uint64_t> MysqlPool::ConfirmCatalog(MysqlConnection& connection) {
  MysqlStatement* row =
      TRY(connection.Query("SELECT catalog_uuid, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED) FROM schema_version"));
  if (!TRY(row->Fetch())) {
    return Fail(Errc::kUnavailable,
                format("{}: database \"{}\" has no row in schema_version: is it being made anew? Else restore a backup",
                       AddressOf(options_), options_.db_name));
  }
  TRY(ExpectCatalog(row->Text(0)));
  return row->Number(1);
}

Status MysqlPool::UseCatalog(const CatalogIdentity& found) {
  {
    MutexLock lock(mutex_);
    if (catalog_.uuid.empty()) catalog_ = found;
  }
  return ExpectCatalog(found.uuid);
}

std::string MysqlPool::identity_secret() {
  MutexLock lock(mutex_);
  return catalog_.secret;
}

Status MysqlPool::ExpectCatalog(std::string_view uuid) {
  std::string first;
  {
    MutexLock lock(mutex_);
    first = catalog_.uuid;
  }
  if (first == uuid) return {};
  const Error replaced(Errc::kCorrupt,
                       format("{}: database \"{}\" was replaced while it was in use: it is catalogue {} now, and was "
                              "{}; a restart reads it from the beginning",
                              AddressOf(options_), options_.db_name, uuid, first));
  deps_.fatal(replaced);
  return Fail(replaced);
}

size_t MysqlPool::Interrupt() {
  size_t ended = 0;
  {
    MutexLock lock(mutex_);
    interrupted_ = true;
    for (MysqlConnection* connection : lent_) connection->Cancel();
    ended = lent_.size();
  }
  returned_.NotifyAll();
  return ended;
}

// Connections that end here are closed without the lock, since closing talks to the server.
void MysqlPool::Return(std::unique_ptr<MysqlConnection> connection) {
  std::vector<Idle> closing;
  {
    MutexLock lock(mutex_);
    lent_.erase(connection.get());
    if (connection->purpose() == MysqlConnection::Purpose::kServe) {
      --serving_;
      // The idle connections have most likely broken as well: opening new ones is faster than trying each.
      if (connection->broken()) closing = std::exchange(idle_, {});
      if (!connection->broken() && idle_.size() < options_.max_idle_conns) {
        idle_.push_back({std::move(connection), std::chrono::steady_clock::now()});
      }
    }
    ShowOpen();
  }
  returned_.NotifyAll();
}

Status MysqlPool::ReportAnswer(Status answer) {
  MutexLock lock(mutex_);
  answers_ = answer.has_value();
  ShowUp();
  return answer;
}

// A refusal of the records (kInvalid, kTooLarge) is not the fault of the database.
void MysqlPool::ReportWrite(const void* store, const Error* error) {
  MutexLock lock(mutex_);
  if (error == nullptr) {
    answers_ = true;
    refused_writers_.erase(store);
  } else if (error->code() != Errc::kInvalid && error->code() != Errc::kTooLarge) {
    refused_writers_.insert(store);
  }
  ShowUp();
}

void MysqlPool::ForgetWriter(const void* store) {
  MutexLock lock(mutex_);
  if (refused_writers_.erase(store) > 0) ShowUp();
}

}  // namespace mi::store
