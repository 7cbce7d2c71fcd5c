// A thread that may use a RedisConnection.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <thread>
#include <utility>

namespace mi::dedupe {

// Signals are other threads' business; SIGPIPE comes from a connection that the other side has closed.
template <typename Run>
std::thread RedisThread(Run run) {
  return std::thread([run = std::move(run)]() mutable {
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGPROF}) sigdelset(&all, fault);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    run();
  });
}

}  // namespace mi::dedupe
