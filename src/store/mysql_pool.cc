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
  if (pool_ == nullptr) return;
  if (std::uncaught_exceptions() > exceptions_) lent_->connection->Break();
  pool_->GiveBack(lent_);
}

MysqlPool::MysqlPool(MysqlOptions options, telemetry::Logger& log, telemetry::Metrics& metrics)
    : options_(std::move(options)),
      log_(log),
      metrics_(metrics),
      open_gauge_(metrics.GetGauge("store_connections", "Open connections to the SQL database.")),
      up_(metrics),
      fault_listener_(CountFaults(metrics)) {}

Result<MysqlLease> MysqlPool::Take() {
  for (;;) {
    const Result<MysqlLent> lent = Reserve();
    if (!lent) return Fail(lent.error());
    MysqlLease lease(*this, *lent);
    if (!(*lent)->opened) {
      if (const Status opened = Open(**lent); !opened) return Fail(opened.error());
      return lease;
    }
    if (std::chrono::steady_clock::now() - (*lent)->idle_since <= kTrusted || lease->Ping()) return lease;
  }
}

MysqlPooled MysqlPool::Make(MysqlConnection::Purpose purpose) const {
  return {.connection = MysqlConnection::Create(options_, purpose, fault_listener_), .idle_since = {}};
}

MysqlLease MysqlPool::LendApart(MysqlConnection::Purpose purpose) {
  MutexLock lock(mutex_);
  apart_.push_back(Make(purpose));
  apart_.back().apart = true;
  if (interrupted_) apart_.back().connection->Cancel();
  return {*this, std::prev(apart_.end())};
}

size_t MysqlPool::Interrupt() {
  size_t ended = 0;
  {
    MutexLock lock(mutex_);
    interrupted_ = true;
    for (const std::list<MysqlPooled>* lent : {&lent_, &apart_}) {
      for (const MysqlPooled& one : *lent) one.connection->Cancel();
      ended += lent->size();
    }
  }
  returned_.NotifyAll();
  return ended;
}

Result<MysqlLent> MysqlPool::Reserve() {
  const Time deadline = std::chrono::steady_clock::now() + options_.connect_timeout;
  MutexLock lock(mutex_);
  while (!interrupted_ && idle_.empty() && lent_.size() >= options_.max_open_conns) {
    if (!returned_.WaitUntil(mutex_, deadline)) {
      CountFault(MysqlFault::kTimeout);
      return Fail(Errc::kOverloaded, format("{}: all {} connections are in use (mysql.max_open_conns)",
                                            AddressOf(options_), options_.max_open_conns));
    }
  }
  if (interrupted_) return Fail(Errc::kUnavailable, format("{}: given up, for a stop", AddressOf(options_)));
  if (idle_.empty()) {
    lent_.push_back(Make(MysqlConnection::Purpose::kServe));
  } else {
    lent_.splice(lent_.end(), idle_, std::prev(idle_.end()));
  }
  open_gauge_.Set(static_cast<double>(idle_.size() + lent_.size()));
  return std::prev(lent_.end());
}

Status MysqlPool::Open(MysqlPooled& fresh) {
  Status opened = fresh.connection->Open();
  if (opened) opened = RecogniseCatalog(fresh);
  fresh.opened = opened.has_value();
  if (!opened) fresh.connection->Break();
  return opened;
}

Status MysqlPool::RecogniseCatalog(MysqlPooled& fresh) {
  Result<std::string> uuid = CheckMysqlSchema(*fresh.connection, options_.secret_check);
  if (!uuid) {
    if (uuid.error().code() != Errc::kInvalid) return Fail(uuid.error());
    // The record that is being applied has no part in it.
    CountFault(MysqlFault::kDenied);
    return Fail(Errc::kUnavailable, uuid.error().message());
  }
  fresh.uuid = *std::move(uuid);
  std::list<MysqlPooled> closing;  // without the lock
  MutexLock lock(mutex_);
  if (!uuid_.empty() && uuid_ != fresh.uuid) {
    log_.Warn("{}: database \"{}\" is another catalogue now: {}, and was {}. What was known of it is forgotten",
              AddressOf(options_), options_.db_name, fresh.uuid, uuid_);
    ++replaced_;
    LoseIdle(closing);
  }
  uuid_ = fresh.uuid;
  return {};
}

void MysqlPool::LoseIdle(std::list<MysqlPooled>& closing) noexcept {
  ++epoch_;
  closing.splice(closing.end(), idle_);
}

void MysqlPool::GiveBack(MysqlLent lent) noexcept {
  std::list<MysqlPooled> closing;  // without the lock
  {
    MutexLock lock(mutex_);
    if (lent->apart) {
      closing.splice(closing.end(), apart_, lent);
    } else if (lent->connection->broken()) {
      // The others have most likely gone the same way: better opened anew than tried one after the other.
      if (lent->opened) LoseIdle(closing);
      closing.splice(closing.end(), lent_, lent);
    } else if (idle_.size() >= options_.max_idle_conns) {
      closing.splice(closing.end(), lent_, lent);
    } else {
      lent->idle_since = std::chrono::steady_clock::now();
      idle_.splice(idle_.end(), lent_, lent);
    }
    open_gauge_.Set(static_cast<double>(idle_.size() + lent_.size()));
  }
  returned_.NotifyAll();
}

}  // namespace mi::store
