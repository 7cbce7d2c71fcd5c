#include "app/web_access.h"

#include <utility>

namespace mi::app {
namespace {

Result<std::shared_ptr<const net::TlsContext>> TlsOf(const config::WebFile& file) {
  if (!file.tls) return std::shared_ptr<const net::TlsContext>();
  return net::TlsContext::Create(*file.tls);
}

}  // namespace

Status WebAccess::Check(const std::string& path) {
  const config::WebFile file = TRY(config::LoadWebFile(path));
  TRY_WITHIN(TlsOf(file), path);
  TRY_WITHIN(access::Rules::Create(file.access), path);
  return {};
}

Result<std::unique_ptr<WebAccess>> WebAccess::Create(const std::string& path, const Clock& clock,
                                                     telemetry::Logger& log, telemetry::Metrics& metrics) {
  std::unique_ptr<WebAccess> made(new WebAccess(path, clock, log, metrics));
  made->started_ = TRY(config::LoadWebFile(path));
  TRY(made->Use(made->started_));
  made->reload_success_.Set(1);
  log.Info("{}: {}, {}", path, made->speaks_tls() ? "TLS" : "no TLS",
           made->started_.access.needs_login() ? "logins are needed" : "no logins");
  return made;
}

WebAccess::WebAccess(std::string path, const Clock& clock, telemetry::Logger& log, telemetry::Metrics& metrics)
    : path_(std::move(path)),
      log_(log),
      reload_success_(metrics.GetGauge("web_config_reload_success",
                                       "Whether the web configuration file is in effect as it is now.")),
      certificate_end_(metrics.GetGauge("web_certificate_expiry_timestamp_seconds",
                                        "When the server's certificate ends; 0 without TLS.")),
      guard_(clock, log, metrics) {}

// What can fail comes first.
Status WebAccess::Use(const config::WebFile& file) {
  std::shared_ptr<const net::TlsContext> tls = TRY_WITHIN(TlsOf(file), path_);
  TRY_WITHIN(guard_.Configure(file.access), path_);
  used_ = {std::move(tls), file.headers};
  for (net::Server* const server : servers_) Tell(*server);
  certificate_end_.Set(used_.tls == nullptr ? 0 : static_cast<double>(used_.tls->not_after()));
  for (const std::string& warning : file.warnings) log_.Warn("{}", warning);
  return {};
}

void WebAccess::Tell(net::Server& server) const {
  server.SetTls(used_.tls);
  server.SetHeaders(used_.headers);
}

void WebAccess::Add(net::Server& server) {
  Tell(server);
  servers_.push_back(&server);
}

void WebAccess::Watch() {
  watcher_.emplace(
      path_, started_,
      config::WebFileWatcher::Callbacks{.on_change = [this](const config::WebFile& file) { return Use(file); },
                                        .on_report = [this](const Status& taken) { Report(taken); }});
}

void WebAccess::Report(const Status& taken) {
  reload_success_.Set(taken ? 1 : 0);
  if (taken) return log_.Info("{}: reloaded", path_);
  log_.Error("{} is not reloaded, what it said before stays in effect: {}", path_, taken.error().message());
}

}  // namespace mi::app
