// Profiles of the running process for `go tool pprof`: /debug/pprof/, with the paths, parameters and answers of Go's
// net/http/pprof as far as they have a meaning here (docs/profiling.md).
#pragma once

#include <cstdint>
#include <memory>

#include "net/http.h"

namespace mi::web {

// Everything runs on a thread of its own, one after another, in real time. One profile that takes time is taken at a
// time: a second one is 409. What waits is bounded: past it, 503.
//
// Threads: safe. Ownership: outlives the router, and the server that uses it.
class PprofHandlers {
 public:
  PprofHandlers();
  ~PprofHandlers();  // stops
  PprofHandlers(const PprofHandlers&) = delete;
  PprofHandlers& operator=(const PprofHandlers&) = delete;

  void RegisterRoutes(net::Router& router);
  // Ends the profile that is being taken: it is answered with what there is. Later requests get 503. Called once,
  // before the server drains, or left to the destructor.
  void Stop();

 private:
  class Desk;
  class Pages;
  std::unique_ptr<Desk> desk_;
  std::unique_ptr<Pages> pages_;
};

}  // namespace mi::web
