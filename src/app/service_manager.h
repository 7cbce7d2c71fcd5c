// Tells systemd about the service, if systemd started it with Type=notify (sd_notify(3)); otherwise it does nothing.
//
//   READY=1      when it is created: requests are answered
//   STATUS=      what /ready says, at least every few seconds
//   WATCHDOG=1   if the unit has WatchdogSec= and every thread that serves requests responds. Without it systemd ends
//                the process and starts it again
//   STOPPING=1   when it is destroyed
#pragma once

#include <chrono>
#include <optional>

#include "app/service.h"
#include "base/periodic.h"

namespace mi::app {

// Threads: one of its own, which asks the service. The service must be started, and outlive it.
class ServiceManager {
 public:
  explicit ServiceManager(const Service& service);
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

 private:
  void Report() const;

  const Service& service_;
  std::chrono::microseconds watchdog_{0};  // WatchdogSec=; 0: there is none
  std::optional<Periodic> reports_;        // none: there is no service manager
};

}  // namespace mi::app
