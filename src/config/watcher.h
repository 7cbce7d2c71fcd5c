// Takes a changed configuration file while the process runs.
//
// The file's directory is watched, not the file: editors write a new file and rename it, ConfigMaps swap a link. A
// change is waited out, read as a whole, checked as a whole, and only then handed on as one immutable object. A bad one
// changes nothing. What needs a restart keeps the value that the process was started with.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "config/loader.h"

namespace mi::config {

// One attempt to reload, for the log and the metrics config_reload_success and config_restart_needed.
struct ReloadReport {
  Status status;                            // why nothing was changed, as Load says it
  std::vector<std::string> changed;         // keys whose new values are in effect now
  std::vector<std::string> restart_needed;  // keys that differ from what the process was started with
  std::vector<std::string> warnings;

  // One message: "configuration reloaded: log.level; restart needed for: app.port". Holds no values.
  std::string Describe() const;
};

// Threads: safe. Callbacks come from a thread of its own, one at a time, and from none after the destructor; they may
// ask
//          Current() and call Reload(), but must not end the watcher.
class Watcher {
 public:
  struct Callbacks {
    // The new configuration, when something live has changed. Current() becomes it with success; an error says why it
    // was not taken, and that everything is as it was: it is reported, and tried again with the next look at the file.
    std::function<Status(const std::shared_ptr<const Config>&)> on_change;
    // After each attempt, and after on_change.
    std::function<void(const ReloadReport&)> on_report;
  };

  // `started` is what Load gave for `sources`; its file, not another that GO_ENV might choose by now, is read again.
  // Without a file only Reload() does anything. kUnavailable when the system gives no inotify instance or thread.
  static Result<std::unique_ptr<Watcher>> Create(Loaded started, Sources sources, Callbacks callbacks);
  virtual ~Watcher() = default;

  // Reads and checks now, also if the file looks unchanged: what SIGHUP does. Returns at once; the report follows.
  // May be called from a signal handler.
  virtual void Reload() = 0;
  // Never null; what it points to never changes.
  virtual std::shared_ptr<const Config> Current() const = 0;
};

}  // namespace mi::config
