#include "app/service_manager.h"

#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/ascii.h"
#include "base/format.h"

namespace mi::app {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLongestInterval = std::chrono::seconds(5);

}  // namespace

// The watchdog is served three times per WatchdogSec=, so one late turn does no harm.
ServiceManager::ServiceManager(const Service& service) : service_(service) {
  if (std::getenv("NOTIFY_SOCKET") == nullptr) return;
  uint64_t watchdog_us = 0;
  if (sd_watchdog_enabled(0, &watchdog_us) > 0) watchdog_ = std::chrono::microseconds(watchdog_us);
  milliseconds interval = kLongestInterval;
  if (watchdog_.count() > 0) {
    interval = std::clamp(std::chrono::duration_cast<milliseconds>(watchdog_ / 3), milliseconds(1), interval);
  }
  sd_notify(0, "READY=1");
  reports_.emplace(interval, [this] { Report(); });
  reports_->RunSoon();
}

ServiceManager::~ServiceManager() {
  if (!reports_) return;
  reports_->Stop();
  sd_notify(0, "STOPPING=1");
}

void ServiceManager::Report() const {
  std::string status(TrimSpace(service_.Readiness()));
  std::ranges::replace(status, '\n', ';');  // a line break would end the status
  status.insert(0, "STATUS=");
  const bool alive =
      watchdog_.count() > 0 && service_.Responds(std::chrono::duration_cast<milliseconds>(watchdog_ / 3));
  if (alive) status += "\nWATCHDOG=1";
  sd_notify(0, status.c_str());
}

}  // namespace mi::app
