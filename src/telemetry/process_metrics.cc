#include "telemetry/process_metrics.h"

#include <prometheus/metric_family.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
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

struct Memory {
  double virtual_bytes;
  double resident_bytes;
};

std::optional<Memory> ReadMemory() {
  std::ifstream statm("/proc/self/statm");
  double pages = 0;
  double resident = 0;
  if (!(statm >> pages >> resident)) return std::nullopt;
  const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  return Memory{pages * page, resident * page};
}

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
  return count - 1;  // the directory itself was open
}

std::optional<double> MostFiles() {
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
  const size_t name_end = line.rfind(')');  // the name may hold blanks and brackets
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(name_end + 1));
  std::string skipped;
  constexpr int kFieldsBetween = 19;  // field 3, the state, to field 21; field 22 is the start in ticks after boot
  for (int i = 0; i < kFieldsBetween; ++i) fields >> skipped;
  double ticks = 0;
  const auto boot = BootSeconds();
  if (!(fields >> ticks) || !boot) return std::nullopt;
  return *boot + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

using Families = std::vector<prometheus::MetricFamily>;

void Append(Families& families, const char* name, const char* help, prometheus::MetricType type,
            std::optional<double> value) {
  if (!value) return;
  prometheus::ClientMetric metric;
  metric.counter.value = *value;
  metric.gauge.value = *value;
  families.push_back({name, help, type, {std::move(metric)}});
}

}  // namespace

Families ProcessMetrics::Collect() const {
  using enum prometheus::MetricType;
  Families families;
  const auto memory = ReadMemory();
  Append(families, "process_cpu_seconds_total", "CPU time used, user and system.", Counter, CpuSeconds());
  Append(families, "process_max_fds", "How many files may be open.", Gauge, MostFiles());
  Append(families, "process_open_fds", "How many files are open.", Gauge, OpenFiles());
  if (memory) {
    Append(families, "process_resident_memory_bytes", "Memory in RAM.", Gauge, memory->resident_bytes);
    Append(families, "process_virtual_memory_bytes", "Address space in use.", Gauge, memory->virtual_bytes);
  }
  Append(families, "process_start_time_seconds", "Start, in seconds since the unix epoch.", Gauge, StartSeconds());
  return families;
}

}  // namespace mi::telemetry
