#include "base/stop_signal.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/fatal.h"

namespace mi {

using std::chrono::steady_clock;

StopSignal::StopSignal() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!event_.valid()) OutOfMemory();  // or out of descriptors; signals are made at the start, when there are plenty
}

void StopSignal::Request() {
  {
    MutexLock lock(mutex_);
    requested_ = true;
  }
  changed_.NotifyAll();
  ::eventfd_write(event_.get(), 1);
}

bool StopSignal::WaitUntil(steady_clock::time_point deadline) const {
  MutexLock lock(mutex_);
  while (!requested_) {
    if (!changed_.WaitUntil(mutex_, deadline)) return !requested_;
  }
  return false;
}

std::expected<short, WaitEnd> WaitReady(int fd, short events, steady_clock::time_point deadline,
                                        const StopSignal& stop) {
  constexpr int64_t kLongestMs = 1 << 30;  // poll takes an int
  std::array<pollfd, 2> polled = {{{fd, events, 0}, {stop.descriptor(), POLLIN, 0}}};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
    const int ready =
        ::poll(polled.data(), polled.size(), static_cast<int>(std::clamp<int64_t>(left.count(), 0, kLongestMs)));
    if (ready < 0) {
      if (errno == EINTR) continue;
      OutOfMemory();  // the only other error of poll(2) that is not a mistake of the caller
    }
    if (polled[1].revents != 0) return std::unexpected(WaitEnd::kStopped);
    if (ready > 0) return polled[0].revents;
    if (left.count() <= kLongestMs) return std::unexpected(WaitEnd::kTimedOut);
  }
}

}  // namespace mi
