#include "telemetry/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>

namespace mi::telemetry {
namespace {

std::optional<double> CpuSeconds() {
  struct timespec used{};
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0) return std::nullopt;
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

std::optional<double> OpenFiles() {
  std::error_code error;
  double count = 0;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end; !error && entry != end;
       entry.increment(error)) {
    ++count;
  }
  if (error) return std::nullopt;
  return count - 1;  // without the directory, which was open too
}

std::optional<double> OpenFilesLimit() {
  struct rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::nullopt;
  return static_cast<double>(limit.rlim_cur);
}

std::optional<double> BootSeconds() {
  std::ifstream stat("/proc/stat");
  std::string word;
  double seconds = 0;
  while (stat >> word) {
    if (word == "btime" && stat >> seconds) return seconds;
  }
  return std::nullopt;
}

std::optional<double> StartSeconds() {
  std::ifstream stat("/proc/self/stat");
  std::string line;
  std::getline(stat, line);
  std::istringstream fields(line.substr(line.rfind(')') + 1));  // field 2, the name, may hold blanks and brackets
  std::string skipped;
  constexpr int kFieldsBetween = 19;  // field 3, the state, to field 21; field 22 is the start in ticks after boot
  for (int i = 0; i < kFieldsBetween; ++i) fields >> skipped;
  double ticks = 0;
  const auto boot = BootSeconds();
  if (!(fields >> ticks) || !boot) return std::nullopt;
  return *boot + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

std::vector<prometheus::MetricFamily> CollectProcessMetrics() {
  using enum prometheus::MetricType;
  std::vector<prometheus::MetricFamily> families;
  auto append = [&](const char* name, const char* help, prometheus::MetricType type, std::optional<double> value) {
    if (!value) return;
    prometheus::ClientMetric metric;
    metric.counter.value = *value;
    metric.gauge.value = *value;
    families.push_back({name, help, type, {std::move(metric)}});
  };
  append("process_cpu_seconds_total", "CPU time used, user and system.", Counter, CpuSeconds());
  append("process_max_fds", "How many files may be open.", Gauge, OpenFilesLimit());
  append("process_open_fds", "How many files are open.", Gauge, OpenFiles());
  const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  double virtual_pages = 0;
  double resident_pages = 0;
  if (std::ifstream("/proc/self/statm") >> virtual_pages >> resident_pages) {
    append("process_resident_memory_bytes", "Memory in RAM.", Gauge, resident_pages * page);
    append("process_virtual_memory_bytes", "Address space in use.", Gauge, virtual_pages * page);
  }
  append("process_start_time_seconds", "Start, in seconds since the unix epoch.", Gauge, StartSeconds());
  return families;
}

}  // namespace mi::telemetry
