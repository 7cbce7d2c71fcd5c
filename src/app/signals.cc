#include "app/signals.h"

#include <pthread.h>
#include <unistd.h>

#include <csignal>

namespace mi::app {
namespace {

sigset_t Handled() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

void EndNow(int) { _exit(1); }

}  // namespace

Signals::Signals() {
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t handled = Handled();
  pthread_sigmask(SIG_BLOCK, &handled, nullptr);
}

bool Signals::StopIsAskedFor() {
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

void Signals::EndAtNextSignal() {
  std::signal(SIGTERM, EndNow);
  std::signal(SIGINT, EndNow);
  sigset_t stops;
  sigemptyset(&stops);
  sigaddset(&stops, SIGTERM);
  sigaddset(&stops, SIGINT);
  pthread_sigmask(SIG_UNBLOCK, &stops, nullptr);
}

}  // namespace mi::app
