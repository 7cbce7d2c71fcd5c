// Reads the web configuration file again when it, a certificate or a key has changed.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/periodic.h"
#include "base/result.h"
#include "config/file_state.h"
#include "config/web_file.h"

namespace mi::config {

// Looks once per interval. What has changed is read once it is the same in two looks in a row, because a certificate
// and its key are two files. A bad file changes nothing, and is reported once. Threads: the callbacks come from the
// watcher's own thread, one at a time, and none after the destructor.
class WebFileWatcher {
 public:
  struct Callbacks {
    // The content has changed. An error says why it cannot be used, and that everything is as it was before.
    std::function<Status(const WebFile&)> on_change;
    // After each attempt that found something new.
    std::function<void(const Status&)> on_report;
  };

  // `started`: what LoadWebFile returned at the start.
  WebFileWatcher(std::string path, WebFile started, Callbacks callbacks,
                 std::chrono::milliseconds interval = std::chrono::seconds(1));

 private:
  void Look();
  Status Attempt();
  std::vector<FileState> StatesNow() const;

  const std::string path_;
  const Callbacks callbacks_;
  WebFile current_;
  std::vector<std::string> watched_;                 // the files of the last attempt
  std::optional<std::vector<FileState>> attempted_;  // their states then; nothing before the first attempt
  std::vector<FileState> last_look_;
  std::string last_fault_;
  Periodic poll_;  // last: its thread ends before the other members are destroyed
};

}  // namespace mi::config
