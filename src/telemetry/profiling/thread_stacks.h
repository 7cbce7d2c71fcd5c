// Where every thread of the process stands now.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

namespace mi::telemetry {

// Ignored by default, so a signal that comes too late does no harm.
constexpr int kStackSignal = SIGURG;

struct ThreadStack {
  pid_t id = 0;
  std::string name;
  std::vector<uintptr_t> frames;  // innermost first; at most 100; empty if the thread did not answer
  std::string why_empty;
};

// One stack per thread, sorted by thread id. Signals one thread after another; each walks its own stack in the signal
// handler while the others run on. A blocking call of a thread may return EINTR, as for any signal.
// Threads: safe; a concurrent call waits for the first.
std::vector<ThreadStack> CollectThreadStacks();

// pprof's text forms, with the memory map: "threadz" with one entry per thread, and Go's goroutine profile with one
// entry per distinct stack and its count. Names stand beside the addresses for people. Comments list the threads that
// did not answer.
std::string ThreadsText(const std::vector<ThreadStack>& threads);
std::string GoroutineText(const std::vector<ThreadStack>& threads);

}  // namespace mi::telemetry
