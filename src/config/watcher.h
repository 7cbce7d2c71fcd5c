// Reloads the configuration file while the process runs.
//
// The file's status is polled (stat(2), once per second): this also works on network file systems, for editors that
// rename a new file over the old one, and for ConfigMaps, which swap a link. A changed file is read once it has not
// changed between two looks, checked as a whole, and then handed on as one immutable object. A bad file changes
// nothing. Options that need a restart keep the values that the process was started with.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/periodic.h"
#include "base/result.h"
#include "config/file_state.h"
#include "config/loader.h"

namespace mi::config {

// One attempt to reload.
struct ReloadReport {
  Status status;                            // why nothing was changed, as Load says it
  std::vector<std::string> changed;         // keys whose new values are in effect now
  std::vector<std::string> restart_needed;  // keys that differ from what the process was started with
  std::vector<std::string> warnings;

  // One line: "configuration reloaded: log.level; restart needed for: app.port". Holds no values.
  std::string Describe() const;
};

// Threads: safe. Callbacks come from the watcher's own thread, one at a time, and none after the destructor. They may
//          call Current() and Reload(), but must not destroy the watcher.
class Watcher {
 public:
  struct Callbacks {
    // A live option has changed. After success Current() returns the new configuration. An error says why it could not
    // be taken, and that everything is as it was before; it is reported, and a touched file is tried again.
    std::function<Status(const std::shared_ptr<const Config>&)> on_change;
    // After each attempt, and after on_change.
    std::function<void(const ReloadReport&)> on_report;
  };

  // `started` is what Load returned for `sources`. The file of `started` is watched, not another that GO_ENV might
  // choose now. Without a file only Reload() does anything, and it reports an error.
  Watcher(Loaded started, Sources sources, Callbacks callbacks,
          std::chrono::milliseconds poll_interval = std::chrono::seconds(1));

  // Reads and checks the file even if it looks unchanged: what SIGHUP does. Returns at once; a report follows.
  void Reload();
  // Never null. The object that it points to never changes.
  std::shared_ptr<const Config> Current() const EXCLUDES(mutex_);

 private:
  enum class Why { kStart, kChanged, kAsked };

  void Look();
  void Attempt(Why why);
  Result<Loaded> LoadFile(std::string_view text) const;
  Status Take(Config next) EXCLUDES(mutex_);
  void Report(const ReloadReport& report) const;

  const std::shared_ptr<const Config> started_;
  const Sources sources_;
  const Callbacks callbacks_;
  std::atomic<bool> asked_ = false;

  // Of the watcher's thread.
  std::optional<FileState> attempted_;  // the state of the file at the last attempt; nothing before the first
  FileState last_look_;
  int looks_while_changing_ = 0;
  std::optional<std::string> text_;  // the text of the last attempt, unless that may succeed if it is repeated

  mutable Mutex mutex_;
  std::shared_ptr<const Config> current_ GUARDED_BY(mutex_);
  Periodic poll_;  // last: its thread ends before the other members are destroyed
};

}  // namespace mi::config
