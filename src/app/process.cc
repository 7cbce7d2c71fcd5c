#include "app/process.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace mi::app {
namespace {

// Databases, logs, listeners, pipes, brokers, TSDBs: what is open besides connections.
constexpr uint64_t kOwnFiles = 64;

constexpr unsigned kMaxSecondsToLog = 5;  // then SIGALRM ends the process, if the log's disk hangs

sigset_t SetOf(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

sigset_t Handled() { return SetOf({SIGTERM, SIGINT, SIGHUP}); }

void ExitNow(int) { _exit(kExitFailed); }

}  // namespace

// The first thread to come logs and ends the process. Threads that come later wait for that end: they must not return
// into code that found its data damaged. The alarm bounds the wait for the log's disk.
FatalHandler ExitOnFatal(telemetry::Logger& log) {
  return [&log](const Error& error) {
    static std::atomic_flag exiting;
    while (exiting.test_and_set()) pause();  // another thread is ending the process
    alarm(kMaxSecondsToLog);
    log.Error("fatal, the process ends and must be restarted: {}", error.message());
    _exit(kExitFailed);
  };
}

// Signals are blocked in every thread and fetched with sigwait() by one. So a stop or a reload does not run in a
// signal handler, and may take locks and allocate memory like any other function. A blocked signal stays pending,
// which is how StopRequested() sees it during a long start.
Signals::Signals() {
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t handled = Handled();
  pthread_sigmask(SIG_BLOCK, &handled, nullptr);
}

bool Signals::StopRequested() {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
}

void Signals::WaitForStop(const std::function<void()>& reload) {
  const sigset_t handled = Handled();
  while (true) {
    int signal = 0;
    if (sigwait(&handled, &signal) != 0) continue;
    if (signal != SIGHUP) return;
    reload();
  }
}

void Signals::ExitAtNextSignal() {
  std::signal(SIGTERM, ExitNow);
  std::signal(SIGINT, ExitNow);
  const sigset_t stops = SetOf({SIGTERM, SIGINT});
  pthread_sigmask(SIG_UNBLOCK, &stops, nullptr);
}

void RaiseFileLimit(uint64_t max_connections, telemetry::Logger& log) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return log.Warn("cannot read the file limit: {}", std::strerror(errno));
  if (limit.rlim_cur < limit.rlim_max) {
    const rlimit raised{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  log.Info("file limit is {}", limit.rlim_cur);
  if (const uint64_t fit = ConnectionsThatFit(max_connections); fit < max_connections) {
    log.Warn(
        "the file limit {} has room for {} connections, so that is the limit instead of receive.max_connections "
        "{}: raise LimitNOFILE or ulimit -n to {}",
        limit.rlim_cur, fit, max_connections, max_connections + kOwnFiles);
  }
}

uint64_t ConnectionsThatFit(uint64_t max_connections) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return max_connections;
  const uint64_t own = std::min<uint64_t>(kOwnFiles, limit.rlim_cur / 2);
  return std::min<uint64_t>(max_connections, std::max<uint64_t>(limit.rlim_cur - own, 1));
}

}  // namespace mi::app
