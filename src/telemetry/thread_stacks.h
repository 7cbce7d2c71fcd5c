// Where every thread of the process stands now.
//
// Each thread is asked in turn, by a signal, and walks its own stack in the handler: the others go on, and nothing
// holds a lock. A thread's blocking call may return EINTR, as for any signal.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

namespace mi::telemetry {

// Ignored by default: one that comes too late does no harm.
constexpr int kStackSignal = SIGURG;

struct ThreadStack {
  pid_t id = 0;
  std::string name;
  std::vector<uintptr_t> frames;  // innermost first; at most 100; empty when it did not answer
  std::string why_empty;
};

// In the order of their ids.
// Threads: safe, one call at a time; the second waits.
std::vector<ThreadStack> CollectThreadStacks();

// pprof's text forms, with the memory map: "threadz", one entry a thread; and Go's goroutine profile, one entry a
// stack, counted. Names stand beside the addresses for people. Threads that did not answer stand in comments.
std::string ThreadsText(const std::vector<ThreadStack>& threads);
std::string GoroutineText(const std::vector<ThreadStack>& threads);

}  // namespace mi::telemetry
