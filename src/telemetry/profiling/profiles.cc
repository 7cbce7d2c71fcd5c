#include "telemetry/profiling/profiles.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cassert>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/file_descriptor.h"
#include "base/format.h"
#include "telemetry/profiling/symbols.h"

#if MI_PROFILER
#include <gperftools/malloc_extension.h>
#include <gperftools/profiler.h>
#endif

namespace mi::telemetry {

#if MI_PROFILER
namespace {

constexpr const char* kSampleVariable = "TCMALLOC_SAMPLE_PARAMETER";

// 512 KiB is the interval that gperftools and Go recommend: the samples are too rare to cost measurable time.
constexpr std::array<std::pair<const char*, const char*>, 2> kNeeded = {
    {{kSampleVariable, "524288"}, {"TCMALLOC_STACKTRACE_METHOD", "libgcc"}}};

// The CPU profiler writes to a path. This file is in memory: no disk can be full, no directory read-only.
FileDescriptor g_cpu_profile;

std::string ReadFromStart(const FileDescriptor& file) {
  std::string bytes;
  std::array<char, 1 << 16> piece;
  ssize_t got = 0;
  for (off_t at = 0; (got = pread(file.get(), piece.data(), piece.size(), at)) > 0; at += got) {
    bytes.append(piece.data(), static_cast<size_t>(got));
  }
  return bytes;
}

}  // namespace

void RestartForProfiling(char** argv) {
  bool missing = false;
  for (const auto& [name, value] : kNeeded) {
    if (std::getenv(name) != nullptr) continue;
    if (setenv(name, value, 0) != 0) return;
    missing = true;
  }
  if (!missing) return;
  // By its path, so that the process keeps its name; by /proc/self/exe if an upgrade has replaced the file.
  std::array<char, PATH_MAX> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (length > 0) execv(path.data(), argv);
  execv("/proc/self/exe", argv);
}

Status StartCpuProfile() {
  if (g_cpu_profile.valid()) return Fail(Errc::kUnavailable, "a CPU profile is being taken");
  FileDescriptor file(memfd_create("cpu-profile", MFD_CLOEXEC));
  if (!file.valid()) return Fail(Errc::kUnavailable, format("cannot store a CPU profile: {}", std::strerror(errno)));
  if (ProfilerStart(format("/proc/self/fd/{}", file.get()).c_str()) == 0) {
    return Fail(Errc::kUnavailable, "the CPU profiler runs already: CPUPROFILE is set in the environment");
  }
  g_cpu_profile = std::move(file);
  return {};
}

Result<std::string> FinishCpuProfile() {
  assert(g_cpu_profile.valid());
  ProfilerStop();
  std::string profile = ReadFromStart(g_cpu_profile);
  g_cpu_profile.reset();
  if (profile.empty()) return Fail(Errc::kUnavailable, "the CPU profiler wrote nothing");
  ReduceMemoryMap(profile);
  return profile;
}

Result<std::string> HeapProfile() {
  const char* interval = std::getenv(kSampleVariable);
  if (interval == nullptr || std::atoll(interval) <= 0) {
    return Fail(Errc::kUnavailable,
                format("the heap is not sampled: {} was not set (for example to 524288) when the process began",
                       kSampleVariable));
  }
  std::string profile;
  MallocExtension::instance()->GetHeapSample(&profile);
  ReduceMemoryMap(profile);
  return profile;
}

Result<std::string> GrowthProfile() {
  std::string profile;
  MallocExtension::instance()->GetHeapGrowthStacks(&profile);
  ReduceMemoryMap(profile);
  return profile;
}

#else
namespace {

std::unexpected<Error> NoProfiler() {
  return Fail(Errc::kUnavailable, "this build has no profiler; no build with a sanitizer has one");
}

}  // namespace

void RestartForProfiling(char**) {}
Status StartCpuProfile() { return NoProfiler(); }
Result<std::string> FinishCpuProfile() { return NoProfiler(); }
Result<std::string> HeapProfile() { return NoProfiler(); }
Result<std::string> GrowthProfile() { return NoProfiler(); }

#endif

}  // namespace mi::telemetry
