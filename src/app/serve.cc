#include "app/serve.h"

#include <unistd.h>

#include <memory>
#include <utility>

#include "app/console.h"
#include "app/file_limit.h"
#include "app/fleet.h"
#include "app/options_check.h"
#include "app/role_options.h"
#include "app/signals.h"
#include "app/standalone.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/format.h"
#include "config/watcher.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::app {
namespace {

// The host that is listened on, if it is one: every address is also this machine's own.
std::string HostToAsk(const config::AppOptions& app) {
  const std::string host = app.listen.substr(0, app.listen.rfind(':'));
  const bool all = host.empty() || host == "0.0.0.0" || host == "[::]" || host == "*";
  return all ? "localhost" : host;
}

// What a person who has just started it wants to paste next.
std::string Banner(const config::Config& config, uint16_t port) {
  const std::string url = format("http://{}:{}", HostToAsk(config.app), port);
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

// Everything takes the new configuration, or nothing keeps it. The log comes first: it fails more often, and whole.
Status Take(const config::Config& before, const config::Config& next, Service& service, telemetry::Logger& log) {
  if (const Status taken = log.Reconfigure(LogOptionsOf(next)); !taken) return taken;
  Status taken = service.Reconfigure(next);
  if (taken) return {};
  for (const Status& back : {log.Reconfigure(LogOptionsOf(before)), service.Reconfigure(before)}) {
    if (!back) log.Error("a part of the configuration before cannot be taken back: {}", back.error().message());
  }
  return taken;
}

Result<std::unique_ptr<config::Watcher>> WatchConfig(const Command& command, const config::Loaded& started,
                                                     Service& service, telemetry::Logger& log,
                                                     telemetry::Metrics& metrics) {
  auto& success = metrics.GetGauge("config_reload_success", "Whether the last reload of the configuration was taken.");
  auto& restart =
      metrics.GetGauge("config_restart_needed", "Options that have changed and take effect with a restart.");
  success.Set(1);
  auto on_change = [&, current = std::make_shared<const config::Config>(started.config)](const auto& next) mutable {
    Status taken = Take(*current, *next, service, log);
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
  return config::Watcher::Create(started, SourcesOf(command),
                                 {.on_change = std::move(on_change), .on_report = std::move(on_report)});
}

}  // namespace

int Serve(const Command& command) {
  Signals signals;
  Result<config::Loaded> loaded = config::Load(SourcesOf(command));
  if (!loaded) return Complain(kBadConfiguration, loaded.error().message());
  if (const Status checked = CheckOptions(*loaded); !checked) {
    return Complain(kBadConfiguration, checked.error().message());
  }
  const config::Config& config = loaded->config;
  const auto log = telemetry::Logger::Create(LogOptionsOf(config));
  if (!log) return Complain(kFailed, log.error().message());
  for (const std::string& warning : loaded->warnings) (*log)->Warn("{}", warning);
  const auto metrics = telemetry::Metrics::Create();
  CountBuild(config, *metrics);
  RaiseFileLimit(config.receive.max_connections, **log);

  const SystemClock clock;
  const Service::Deps deps{clock, **log, *metrics};
  const bool alone = config.app.role_type == config::Role::kStandalone;
  auto service = alone ? StartStandalone(config, deps) : StartFleet(config, deps);
  if (!service && Signals::StopIsAskedFor()) {
    (*log)->Info("stopped before it was up: {}", service.error().message());
    return 0;
  }
  if (!service) {
    (*log)->Error("{}", service.error().message());
    if (!config.log.filename.empty()) Complain(kFailed, service.error().message());
    return kFailed;
  }
  Print(Banner(config, (*service)->port()));
  auto watcher = WatchConfig(command, *loaded, **service, **log, *metrics);
  if (!watcher)
    (*log)->Error("the configuration cannot be watched, a change needs a restart: {}", watcher.error().message());
  signals.WaitForStop([&] {
    if (watcher) (*watcher)->Reload();
  });
  Signals::EndAtNextSignal();
  // What hangs past its time is ended by the kernel; everything durable is safe against that.
  alarm(static_cast<unsigned>(config.app.shutdown_timeout.count() / 1000) + 1);
  if (watcher) watcher->reset();
  (*service)->Stop();
  (*log)->Info("stopped");
  (*log)->Flush();
  return 0;
}

}  // namespace mi::app
