// /debug/pprof/ where the configuration wants it: on the role's listener, on one of its own (pprof.listen), or nowhere.
//
// Threads: Serve and Stop from one thread.
#pragma once

#include <memory>

#include "base/result.h"
#include "config/config.h"
#include "net/server.h"
#include "telemetry/log.h"
#include "web/pprof_handlers.h"

namespace mi::app {

class Profiles {
 public:
  // Outlives `main`. A port in use is an error; a listener of its own answers from here on, while the role still comes
  // up.
  static Result<std::unique_ptr<Profiles>> Serve(const config::Config& config, net::Router& main,
                                                 telemetry::Logger& log);

  // A profile that is being taken is answered with what there is: before the listeners drain.
  void Stop() { handlers_.Stop(); }

 private:
  Profiles() = default;

  web::PprofHandlers handlers_;
  net::Router own_;
  std::unique_ptr<net::Server> server_;  // null: the main one; goes first
};

}  // namespace mi::app
