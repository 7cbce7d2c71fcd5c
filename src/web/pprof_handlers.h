// Profiles of the running process for `go tool pprof`: /debug/pprof/, with the paths, parameters and answers of Go's
// net/http/pprof as far as C++ has a counterpart (docs/profiling.md).
#pragma once

#include <memory>

#include "net/http.h"

namespace mi::web {

// Profiles are taken on a thread of its own, one after another, in real time. Only one profile that takes time runs at
// a time: a second one is answered 409. The number of waiting requests is bounded: one more is answered 503.
//
// Threads: safe. Ownership: outlives the router, and the server that uses it.
class PprofHandlers {
 public:
  PprofHandlers();
  ~PprofHandlers();  // stops
  PprofHandlers(const PprofHandlers&) = delete;
  PprofHandlers& operator=(const PprofHandlers&) = delete;

  void RegisterRoutes(net::Router& router);
  // Ends the profile that is being taken and answers it with what there is. Later requests get 503. Idempotent. Call it
  // before the server drains.
  void Stop();

 private:
  class Profiler;
  class Handler;
  std::unique_ptr<Profiler> profiler_;
  std::unique_ptr<Handler> handler_;
};

}  // namespace mi::web
