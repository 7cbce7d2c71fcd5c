#include "app/run.h"

#include <unistd.h>

#include <cstdio>
#include <memory>

#include "app/file_limit.h"
#include "app/role_options.h"
#include "app/service.h"
#include "app/signals.h"
#include "app/standalone.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/format.h"
#include "config/loader.h"
#include "config/watcher.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace mi::app {
namespace {

constexpr int kStartFailed = 1;
constexpr int kBadConfiguration = 2;

int Complain(int exit_code, std::string_view text) {
  std::fputs(format("metric-index: {}\n", text).c_str(), stderr);
  return exit_code;
}

int Print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return std::fflush(stdout) == 0 ? 0 : kStartFailed;
}

config::Sources SourcesOf(const Command& command) {
  return {.file = command.config_file, .environment = config::ProcessEnvironment(), .command_line = command.overrides};
}

int CheckConfig(const std::string& file) {
  const Result<config::Loaded> loaded = config::Check(file);
  if (!loaded) return Complain(kBadConfiguration, loaded.error().message());
  for (const std::string& warning : loaded->warnings) std::fputs(format("{}\n", warning).c_str(), stderr);
  return Print(format("{}: ok\n", file));
}

int ShowConfig(const Command& command) {
  const Result<config::Loaded> loaded = config::Load(SourcesOf(command));
  if (!loaded) return Complain(kBadConfiguration, loaded.error().message());
  return Print(config::PrintShow(*loaded));
}

// What a person who has just started it wants to paste next.
std::string Banner(const config::Config& config, uint16_t port) {
  const std::string url = format("http://localhost:{}", port);
  return format(R"(metric-index is listening on {0}, its data is in {1}

Point Prometheus at it (prometheus.yml):

remote_write:
  - url: {0}/api/v1/write

or vmagent: -remoteWrite.url={0}/api/v1/write
Then ask:   curl -g '{0}/api/v1/series?match[]=up'

)",
                url, config.app.data_dir);
}

void CountBuild(const config::Config& config, telemetry::Metrics& metrics) {
  metrics
      .GetGauge("build_info", "What runs here; always 1.",
                {{"version", std::string(version::kVersion)},
                 {"revision", std::string(version::kRevision)},
                 {"role", std::string(ToString(config.app.role_type))}})
      .Set(1);
}

Result<std::unique_ptr<config::Watcher>> WatchConfig(const Command& command, const config::Loaded& started,
                                                     Service& service, telemetry::Logger& log,
                                                     telemetry::Metrics& metrics) {
  auto& success = metrics.GetGauge("config_reload_success", "Whether the last reload of the configuration was taken.");
  auto& restart =
      metrics.GetGauge("config_restart_needed", "Options that have changed and take effect with a restart.");
  success.Set(1);
  return config::Watcher::Create(started, SourcesOf(command),
                                 {.on_change =
                                      [&](const std::shared_ptr<const config::Config>& config) {
                                        service.Reconfigure(*config);
                                        if (const Status taken = log.Reconfigure(LogOptionsOf(*config)); !taken) {
                                          log.Error("the log stays as it is: {}", taken.error().message());
                                        }
                                      },
                                  .on_report =
                                      [&](const config::ReloadReport& report) {
                                        success.Set(report.status ? 1 : 0);
                                        if (report.status)
                                          restart.Set(static_cast<double>(report.restart_needed.size()));
                                        log.Write(report.status ? telemetry::Level::kInfo : telemetry::Level::kError,
                                                  report.Describe());
                                      }});
}

int Serve(const Command& command) {
  Signals signals;
  Result<config::Loaded> loaded = config::Load(SourcesOf(command));
  if (!loaded) return Complain(kBadConfiguration, loaded.error().message());
  const config::Config& config = loaded->config;
  if (config.app.role_type != config::Role::kStandalone) {
    return Complain(kBadConfiguration, format("app.role_type {}: this version has the role standalone only",
                                              ToString(config.app.role_type)));
  }
  const auto log = telemetry::Logger::Create(LogOptionsOf(config));
  if (!log) return Complain(kStartFailed, log.error().message());
  for (const std::string& warning : loaded->warnings) (*log)->Warn("{}", warning);
  const auto metrics = telemetry::Metrics::Create();
  CountBuild(config, *metrics);
  RaiseFileLimit(config.receive.max_connections, **log);

  const SystemClock clock;
  auto service = StartStandalone(config, {clock, **log, *metrics});
  if (!service) {
    (*log)->Error("{}", service.error().message());
    if (!config.log.filename.empty()) Complain(kStartFailed, service.error().message());
    return kStartFailed;
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

}  // namespace

int Run(const Command& command) {
  switch (command.kind) {
    case Command::Kind::kServe: return Serve(command);
    case Command::Kind::kConfigCheck: return CheckConfig(command.check_file);
    case Command::Kind::kConfigShow: return ShowConfig(command);
    case Command::Kind::kConfigDefault: return Print(config::PrintDefault());
  }
  return kBadConfiguration;
}

}  // namespace mi::app
