// metric-index-loadgen: sends traffic for a bounded time, and checks that what was acknowledged is catalogued.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>

#include "base/format.h"
#include "loadgen/acknowledged.h"
#include "loadgen/report.h"
#include "loadgen/sender.h"
#include "loadgen/verify.h"

namespace {

// Ctrl-C ends the sending; the report still follows.
std::atomic<bool> stop_asked = false;
static_assert(std::atomic<bool>::is_always_lock_free);

using mi::format;
namespace loadgen = mi::loadgen;

struct Arguments {
  std::string url;
  std::string shape = "node";
  std::string protocol = "1.0";
  std::string encoding = "snappy";
  std::string tenant;
  std::string acknowledged;
  uint64_t series = 10'000;
  uint64_t batch = 2'000;
  uint64_t seed = 1;
  uint64_t requests = 0;
  unsigned connections = 1;
  double rate = 0;
  double churn = 0;
  std::chrono::milliseconds duration{10'000};
  std::chrono::milliseconds patience{60'000};
  int pid = 0;
  bool json = false;
};

int Complain(const mi::Error& error) {
  std::fputs(format("metric-index-loadgen: {}\n", error.message()).c_str(), stderr);
  return 2;
}

int Send(const Arguments& arguments) {
  const auto url = mi::net::Url::Parse(arguments.url);
  if (!url) return Complain(url.error());
  const auto shape = loadgen::ParseShape(arguments.shape);
  if (!shape) return Complain(shape.error());
  const loadgen::TrafficOptions traffic_options{
      .shape = *shape,
      .schema = arguments.protocol == "2.0" ? mi::codec::Schema::kV2 : mi::codec::Schema::kV1,
      .compression = arguments.encoding == "zstd" ? mi::codec::Compression::kZstd : mi::codec::Compression::kSnappy,
      .series = arguments.series,
      .batch = arguments.batch,
      .seed = arguments.seed};
  const loadgen::Traffic traffic(traffic_options);

  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { stop_asked = true; });
  const auto server_before = arguments.pid > 0 ? loadgen::CpuSeconds(arguments.pid) : std::nullopt;
  const double client_before = loadgen::CpuSeconds(getpid()).value_or(0);
  const loadgen::SendResult result = loadgen::Send(traffic, {.url = *url,
                                                             .tenant = arguments.tenant,
                                                             .connections = arguments.connections,
                                                             .rate = arguments.rate,
                                                             .churn = arguments.churn,
                                                             .duration = arguments.duration,
                                                             .requests = arguments.requests,
                                                             .stop = &stop_asked});
  loadgen::Report report{.result = result,
                         .client_cpu_seconds = loadgen::CpuSeconds(getpid()).value_or(0) - client_before};
  const auto server_after = arguments.pid > 0 ? loadgen::CpuSeconds(arguments.pid) : std::nullopt;
  if (server_before && server_after) report.server_cpu_seconds = *server_after - *server_before;

  if (!arguments.acknowledged.empty()) {
    const auto written = loadgen::WriteAcknowledged(arguments.acknowledged, traffic_options, result.acknowledged);
    if (!written) return Complain(written.error());
  }
  std::fputs((arguments.json ? ToJson(report) : ToText(report)).c_str(), stdout);
  return result.series > 0 && result.refused == 0 ? 0 : 1;
}

int Verify(const Arguments& arguments) {
  const auto url = mi::net::Url::Parse(arguments.url);
  if (!url) return Complain(url.error());
  const auto verdict = loadgen::Verify({.base = *url,
                                        .tenant = arguments.tenant,
                                        .acknowledged_file = arguments.acknowledged,
                                        .patience = arguments.patience});
  if (!verdict) return Complain(verdict.error());
  if (verdict->missing == 0) {
    std::fputs(format("all {} acknowledged series are catalogued\n", verdict->acknowledged).c_str(), stdout);
    return 0;
  }
  std::fputs(format("{} of {} acknowledged series are missing:\n", verdict->missing, verdict->acknowledged).c_str(),
             stdout);
  for (const std::string& identity : verdict->first_missing) std::fputs(format("  {}\n", identity).c_str(), stdout);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App cli("Sends remote-write traffic for a bounded time, and reports the result.", "metric-index-loadgen");
  cli.footer(
      "Ctrl-C ends it early, with a report.\n"
      "Exit codes: 0 if something was acknowledged and nothing refused (4xx); 1 otherwise, or if verify misses "
      "series;\n"
      "2 for a wrong command line, or a file or server that cannot be reached. Requests that the end cuts short are\n"
      "reported and are no failure.");
  const CLI::AsNumberWithUnit milliseconds(
      std::map<std::string, int64_t>{{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}},
      CLI::AsNumberWithUnit::UNIT_REQUIRED, "DURATION");
  int64_t duration_ms = arguments.duration.count();
  int64_t patience_ms = arguments.patience.count();
  cli.add_option("--url", arguments.url, "Where to send: http://host:7001/api/v1/write");
  cli.add_option("--series", arguments.series, "Series that are sent again and again")->capture_default_str();
  cli.add_option("--duration", duration_ms, "How long: 500ms, 20s, 5m")->transform(milliseconds)->default_str("10s");
  cli.add_option("--requests", arguments.requests, "End after so many requests, if that comes first; 0 = never")
      ->capture_default_str();
  cli.add_option("--churn", arguments.churn, "New series per second, in addition")->capture_default_str();
  cli.add_option("--rate", arguments.rate, "Series per second; 0 = as fast as possible")->capture_default_str();
  cli.add_option("--connections", arguments.connections, "Senders at once")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  cli.add_option("--batch", arguments.batch, "Series per request")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  cli.add_option("--shape", arguments.shape, "Labels like node exporter's or Kubernetes'")
      ->check(CLI::IsMember({"node", "kubernetes"}))
      ->capture_default_str();
  cli.add_option("--protocol", arguments.protocol, "Remote write's version")
      ->check(CLI::IsMember({"1.0", "2.0"}))
      ->capture_default_str();
  cli.add_option("--encoding", arguments.encoding, "Compression")
      ->check(CLI::IsMember({"snappy", "zstd"}))
      ->capture_default_str();
  cli.add_option("--seed", arguments.seed, "Another seed gives other series")->capture_default_str();
  cli.add_option("--tenant", arguments.tenant, "X-Scope-OrgID");
  cli.add_option("--pid", arguments.pid, "The server's process, to report its CPU time");
  cli.add_option("--acknowledged", arguments.acknowledged, "Write the identities that were acknowledged to this file");
  cli.add_flag("--json", arguments.json, "Report as JSON");
  CLI::App* verify = cli.add_subcommand("verify", "Check that all acknowledged series are catalogued");
  verify->add_option("--url", arguments.url, "The service: http://host:7001")->required();
  verify->add_option("--acknowledged", arguments.acknowledged, "The file of identities")->required();
  verify->add_option("--tenant", arguments.tenant, "X-Scope-OrgID");
  verify->add_option("--patience", patience_ms, "How long to wait for the index")
      ->transform(milliseconds)
      ->default_str("60s");
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return cli.exit(error) == 0 ? 0 : 2;
  }
  arguments.duration = std::chrono::milliseconds(duration_ms);
  arguments.patience = std::chrono::milliseconds(patience_ms);
  if (verify->parsed()) return Verify(arguments);
  if (arguments.url.empty()) return Complain({mi::Errc::kInvalid, "--url is missing; see --help"});
  return Send(arguments);
}
