#include "loadgen/report.h"

#include <unistd.h>

#include <fstream>
#include <sstream>

#include "base/format.h"

namespace mi::loadgen {
namespace {

double Percentile(const std::vector<float>& sorted, double share) {
  if (sorted.empty()) return 0;
  const auto at = static_cast<size_t>(share * static_cast<double>(sorted.size() - 1));
  return sorted[at];
}

double PerMillion(double seconds, uint64_t series) {
  return series == 0 ? 0 : seconds * 1e6 / static_cast<double>(series);
}

uint64_t CountAcknowledged(const SendResult& result) {
  uint64_t count = 0;
  for (const auto& [first, size] : result.acknowledged) count += size;
  return count;
}

}  // namespace

std::optional<double> CpuSeconds(int pid) {
  std::ifstream file(format("/proc/{}/stat", pid));
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  // The name, in parentheses, may hold blanks; utime and stime are the 12th and 13th field behind it.
  std::istringstream fields(line.substr(line.rfind(')') + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::string ToText(const Report& report) {
  const SendResult& r = report.result;
  std::string text = format("{} series in {} requests in {:.1f} s: {:.0f} series/s\n", r.series, r.requests, r.seconds,
                            static_cast<double>(r.series) / r.seconds);
  text += format("latency ms: p50 {:.2f}, p90 {:.2f}, p99 {:.2f}, max {:.2f}\n", Percentile(r.latencies_ms, 0.5),
                 Percentile(r.latencies_ms, 0.9), Percentile(r.latencies_ms, 0.99), Percentile(r.latencies_ms, 1));
  text += "status:";
  for (const auto& [status, count] : r.status) text += format(" {}: {}", status, count);
  text += format("; {} retries, {} lost connections, {} requests refused, {} cut short by the end\n", r.retries,
                 r.connection_failures, r.refused, r.unfinished);
  text += format("{} different series acknowledged\n", CountAcknowledged(r));
  text += format("CPU s a million series: client {:.3f}", PerMillion(report.client_cpu_seconds, r.series));
  if (report.server_cpu_seconds) text += format(", server {:.3f}", PerMillion(*report.server_cpu_seconds, r.series));
  return text + "\n";
}

std::string ToJson(const Report& report) {
  const SendResult& r = report.result;
  std::string status;
  for (const auto& [code, count] : r.status) status += format("{}\"{}\":{}", status.empty() ? "" : ",", code, count);
  std::string json =
      format(R"({{"series":{},"requests":{},"seconds":{:.3f},"status":{{{}}},"series_per_second":{:.0f},)", r.series,
             r.requests, r.seconds, status, static_cast<double>(r.series) / r.seconds);
  json += format(R"("acknowledged":{},"retries":{},"connection_failures":{},"refused":{},"unfinished":{},)",
                 CountAcknowledged(r), r.retries, r.connection_failures, r.refused, r.unfinished);
  json += format(R"("latency_ms":{{"p50":{:.3f},"p90":{:.3f},"p99":{:.3f},"max":{:.3f}}},)",
                 Percentile(r.latencies_ms, 0.5), Percentile(r.latencies_ms, 0.9), Percentile(r.latencies_ms, 0.99),
                 Percentile(r.latencies_ms, 1));
  json += format(R"("client_cpu_seconds":{:.3f},"server_cpu_seconds":)", report.client_cpu_seconds);
  json += report.server_cpu_seconds ? format("{:.3f}", *report.server_cpu_seconds) : "null";
  return json + "}\n";
}

}  // namespace mi::loadgen
