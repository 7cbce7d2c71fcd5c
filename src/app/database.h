// The MySQL or MariaDB database of a role: prepared as soon as it answers, then looked at now and then.
//
// Ownership: borrows everything but the catalogue it holds. Threads: one of its own; Start and Stop from one thread.
#pragma once

#include <functional>
#include <thread>

#include "app/component_health.h"
#include "base/stop_signal.h"
#include "config/config.h"
#include "store/mysql/catalog.h"

namespace mi::app {

class Database {
 public:
  Database(const config::Config& config, Need need, telemetry::Health& health, const store::MysqlDeps& deps);
  ~Database() { Stop(); }

  store::MysqlCatalog& catalog() { return catalog_; }

  // `on_prepared` is called once, from the database's thread.
  void Start(std::function<void()> on_prepared);
  // Asks for the end, which Stop() waits for: up to the server's answer, unless the catalogue is interrupted.
  void RequestStop() { stop_.Request(); }
  void Stop();

 private:
  void Run();

  store::MysqlCatalog catalog_;
  ComponentHealth health_;
  std::function<void()> on_prepared_;
  StopSignal stop_;
  std::thread thread_;
};

}  // namespace mi::app
