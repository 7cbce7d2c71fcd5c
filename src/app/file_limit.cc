#include "app/file_limit.h"

#include <sys/resource.h>

#include <cerrno>
#include <cstring>

namespace mi::app {
namespace {

// Databases, logs, listeners, pipes: what is open besides connections.
constexpr uint64_t kOwnFiles = 64;

}  // namespace

void RaiseFileLimit(uint64_t max_connections, telemetry::Logger& log) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return log.Warn("cannot read the file limit: {}", std::strerror(errno));
  if (limit.rlim_cur < limit.rlim_max) {
    const rlimit raised{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  log.Info("file limit is {}", limit.rlim_cur);
  if (limit.rlim_cur < max_connections + kOwnFiles) {
    log.Warn("file limit {} is too low for receive.max_connections {}: raise LimitNOFILE or ulimit -n", limit.rlim_cur,
             max_connections);
  }
}

}  // namespace mi::app
