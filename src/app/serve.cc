#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "app/commands.h"
#include "app/options_check.h"
#include "app/process.h"
#include "app/role_options.h"
#include "app/service.h"
#include "app/service_manager.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/format.h"
#include "config/watcher.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::app {
namespace {

// The host in a URL that reaches the listener from this machine.
std::string HostToAsk(const std::string& listen) {
  const std::string host = listen.substr(0, listen.rfind(':'));
  const bool all = host.empty() || host == "0.0.0.0" || host == "[::]" || host == "*";
  return all ? "localhost" : host;
}

// For the person who started it: what to put into a sender's configuration and what to ask next.
std::string Banner(const config::Config& config, const Service& service) {
  const std::string_view scheme = service.speaks_tls() ? "https" : "http";
  const std::string url = format("{}://{}:{}", scheme, HostToAsk(config.server.listen), service.port());
  const config::Role role = config.app.role_type;
  std::string text = format("metric-index is listening on {}", url);
  text += role == config::Role::kStandalone
              ? format(", its data is in {}\n\n", config.app.data_dir)
              : format(", as {}; {}/ready says what it waits for\n\n", ToString(role), url);
  if (role != config::Role::kConsumer && role != config::Role::kQuery) {
    text += format(R"(Point Prometheus at it (prometheus.yml):

remote_write:
  - url: {0}/api/v1/write

or vmagent: -remoteWrite.url={0}/api/v1/write
)",
                   url);
  }
  if (role != config::Role::kConsumer && role != config::Role::kProducer) {
    text += format("Then ask:   curl -g '{}/api/v1/series?match[]=up'\n\n", url);
  }
  return text;
}

void CountBuild(const config::Config& config, telemetry::Metrics& metrics) {
  metrics
      .GetGauge("build_info", "What runs here; always 1.",
                {{"name", config.app.name},
                 {"version", std::string(version::kVersion)},
                 {"revision", std::string(version::kRevision)},
                 {"role", std::string(ToString(config.app.role_type))}})
      .Set(1);
}

// All parts take the new configuration, or all go back to the one before. The log comes first: it fails more often.
Status Reconfigure(const config::Config& before, const config::Config& next, Service& service, telemetry::Log& log) {
  TRY(log.Reconfigure(LogOptionsOf(next)));
  Status taken = service.Reconfigure(next);
  if (taken) return {};
  for (const Status& back : {log.Reconfigure(LogOptionsOf(before)), service.Reconfigure(before)}) {
    if (!back) log.Error("a part of the configuration before cannot be taken back: {}", back.error().message());
  }
  return taken;
}

// Connects the configuration's watcher with the service, the log and the metrics. All of them outlive it.
std::unique_ptr<config::Watcher> WatchConfig(const Command& command, const config::Loaded& started, Service& service,
                                             telemetry::Log& log, telemetry::Metrics& metrics) {
  auto& success = metrics.GetGauge("config_reload_success", "Whether the last reload of the configuration was taken.");
  auto& restart =
      metrics.GetGauge("config_restart_needed", "Options that have changed and take effect with a restart.");
  success.Set(1);
  auto on_change = [&, current = std::make_shared<const config::Config>(started.config)](const auto& next) mutable {
    Status taken = Reconfigure(*current, *next, service, log);
    if (taken) current = next;
    return taken;
  };
  auto on_report = [&](const config::ReloadReport& report) {
    success.Set(report.status ? 1 : 0);
    if (!report.status) return log.Error("{}", report.Describe());
    restart.Set(static_cast<double>(report.restart_needed.size()));
    for (const std::string& warning : report.warnings) log.Warn("{}", warning);
    log.Info("{}", report.Describe());
  };
  return std::make_unique<config::Watcher>(
      started, SourcesOf(command),
      config::Watcher::Callbacks{.on_change = std::move(on_change), .on_report = std::move(on_report)});
}

}  // namespace

int Serve(const Command& command) {
  Signals signals;
  // Databases, snapshots and whatever SQLite puts beside them are for the owner alone. The log opens itself wider.
  umask(S_IRWXG | S_IRWXO);
  Result<config::Loaded> loaded = config::Load(SourcesOf(command));
  if (!loaded) return Complain(kExitBadConfiguration, loaded.error().message());
  if (const Status checked = CheckOptions(*loaded); !checked) {
    return Complain(kExitBadConfiguration, checked.error().message());
  }
  const config::Config& config = loaded->config;
  const auto log = telemetry::Log::Create(LogOptionsOf(config));
  if (!log) return Complain(kExitFailed, log.error().message());
  for (const std::string& warning : loaded->warnings) (*log)->Warn("{}", warning);
  const auto metrics = telemetry::Metrics::Create();
  CountBuild(config, *metrics);
  RaiseFileLimit(config.server.max_connections, **log);

  const SystemClock clock;
  const Service::Deps deps{clock, **log, *metrics, ExitOnFatal(**log)};
  const bool alone = config.app.role_type == config::Role::kStandalone;
  auto service = alone ? StartStandalone(config, deps) : StartFleet(config, deps);
  if (!service && Signals::StopRequested()) {
    (*log)->Info("stopped before it was up: {}", service.error().message());
    return 0;
  }
  if (!service) {
    (*log)->Error("{}", service.error().message());
    const int code = ExitCodeOf(service.error());
    if (!config.log.filename.empty()) Complain(code, service.error().message());
    return code;
  }
  Print(Banner(config, **service));
  auto watcher = WatchConfig(command, *loaded, **service, **log, *metrics);
  auto manager = std::make_unique<ServiceManager>(**service);
  signals.WaitForStop([&] { watcher->Reload(); });
  Signals::ExitAtNextSignal();
  // The kernel ends a stop that hangs; what is durable survives any end of the process.
  alarm(static_cast<unsigned>(config.app.shutdown_timeout.count() / 1000) + 1);
  manager.reset();
  watcher.reset();
  (*service)->Stop();
  (*log)->Info("stopped");
  return 0;
}

}  // namespace mi::app
