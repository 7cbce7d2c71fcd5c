#include "telemetry/profiling.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/format.h"
#include "telemetry/symbols.h"
#include "telemetry/thread_stacks.h"

#if MI_PROFILER
#include <gperftools/malloc_extension.h>
#include <gperftools/profiler.h>
#endif

namespace mi::telemetry {

void ShowThisThreadToProfiles() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPROF);
  sigaddset(&signals, kStackSignal);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

#if MI_PROFILER
namespace {

constexpr const char* kSampleVariable = "TCMALLOC_SAMPLE_PARAMETER";

// 512 KiB is the interval that gperftools and Go recommend: too rare to be measured.
constexpr std::array<std::pair<const char*, const char*>, 2> kNeeded = {
    {{kSampleVariable, "524288"}, {"TCMALLOC_STACKTRACE_METHOD", "libgcc"}}};

// The profiler writes to a path. This one is memory: no disk to be full, no directory that must be writable.
int g_cpu_profile = -1;

std::string ReadFromStart(int fd) {
  std::string bytes;
  std::array<char, 1 << 16> piece;
  ssize_t got = 0;
  for (off_t at = 0; (got = pread(fd, piece.data(), piece.size(), at)) > 0; at += got) {
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
  // By its own name, so that the process is called what it was; /proc/self/exe where an upgrade has replaced the file.
  std::array<char, PATH_MAX> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (length > 0) execv(path.data(), argv);
  execv("/proc/self/exe", argv);
}

Status StartCpuProfile() {
  if (g_cpu_profile >= 0) return Fail(Errc::kUnavailable, "a CPU profile is being taken");
  const int fd = memfd_create("cpu-profile", MFD_CLOEXEC);
  if (fd < 0) return Fail(Errc::kUnavailable, format("no memory for a profile: {}", std::strerror(errno)));
  if (ProfilerStart(format("/proc/self/fd/{}", fd).c_str()) == 0) {
    close(fd);
    return Fail(Errc::kUnavailable, "the CPU profiler runs already: CPUPROFILE is set in the environment");
  }
  g_cpu_profile = fd;
  return {};
}

Result<std::string> FinishCpuProfile() {
  ProfilerStop();
  const int fd = std::exchange(g_cpu_profile, -1);
  std::string profile = ReadFromStart(fd);
  close(fd);
  if (profile.empty()) return Fail(Errc::kUnavailable, "the CPU profiler wrote nothing");
  HideOwnFile(profile);
  return profile;
}

Result<std::string> HeapProfile() {
  const char* interval = std::getenv(kSampleVariable);
  if (interval == nullptr || std::atoll(interval) <= 0) {
    return Fail(
        Errc::kUnavailable,
        format("the heap is not sampled: {} was not set (to 524288, say) when the process began", kSampleVariable));
  }
  std::string profile;
  MallocExtension::instance()->GetHeapSample(&profile);
  HideOwnFile(profile);
  return profile;
}

Result<std::string> GrowthProfile() {
  std::string profile;
  MallocExtension::instance()->GetHeapGrowthStacks(&profile);
  HideOwnFile(profile);
  return profile;
}

#else
namespace {

std::unexpected<Error> NoProfiler() {
  return Fail(Errc::kUnavailable, "this build is made without the profiler, as every build with a sanitizer is");
}

}  // namespace

void RestartForProfiling(char**) {}
Status StartCpuProfile() { return NoProfiler(); }
Result<std::string> FinishCpuProfile() { return NoProfiler(); }
Result<std::string> HeapProfile() { return NoProfiler(); }
Result<std::string> GrowthProfile() { return NoProfiler(); }

#endif

}  // namespace mi::telemetry
