// TLS and logins of the listeners: what the web configuration file says, also after it has changed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "access/guard.h"
#include "base/clock.h"
#include "base/result.h"
#include "config/web_file.h"
#include "config/web_file_watcher.h"
#include "net/server.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::app {

// Threads: Add, Watch and Stop from one thread; the file is watched on a thread of its own.
class WebAccess {
 public:
  // kInvalid: the file cannot be read or used.
  static Status Check(const std::string& path);
  static Result<std::unique_ptr<WebAccess>> Create(const std::string& path, const Clock& clock, telemetry::Logger& log,
                                                   telemetry::Metrics& metrics);

  net::Gate& gate() { return guard_; }
  bool speaks_tls() const { return used_.tls != nullptr; }
  // The server is made with gate(), is not started yet, and lives until Stop(). Requires: Watch() was not called.
  void Add(net::Server& server);
  // Takes what changes in the file from now on. A file that cannot be used changes nothing.
  void Watch();
  // Takes no more changes. Idempotent.
  void Stop() { watcher_.reset(); }

 private:
  // What the servers are told.
  struct Used {
    std::shared_ptr<const net::TlsContext> tls;
    std::vector<std::pair<std::string, std::string>> headers;
  };

  WebAccess(std::string path, const Clock& clock, telemetry::Logger& log, telemetry::Metrics& metrics);
  Status Use(const config::WebFile& file);
  void Tell(net::Server& server) const;
  void Report(const Status& taken);

  const std::string path_;
  telemetry::Logger& log_;
  telemetry::Gauge& reload_success_;
  telemetry::Gauge& certificate_end_;
  access::Guard guard_;
  config::WebFile started_;
  Used used_;
  std::vector<net::Server*> servers_;
  std::optional<config::WebFileWatcher> watcher_;
};

}  // namespace mi::app
