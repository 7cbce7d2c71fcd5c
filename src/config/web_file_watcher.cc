#include "config/web_file_watcher.h"

#include <utility>

#include "base/format.h"

namespace mi::config {

WebFileWatcher::WebFileWatcher(std::string path, WebFile started, Callbacks callbacks,
                               std::chrono::milliseconds interval)
    : path_(std::move(path)),
      callbacks_(std::move(callbacks)),
      current_(std::move(started)),
      watched_(current_.files),
      poll_(interval, [this] { Look(); }) {}

std::vector<FileState> WebFileWatcher::StatesNow() const {
  std::vector<FileState> states;
  for (const std::string& file : watched_) states.push_back(FileState::Of(file));
  return states;
}

// What changes during an attempt is found by the next look, because the states are those from before it. The first
// attempt comes even without a change: a file may have changed since the start read it. After a fault it tries at each
// look: what is missing may be a file that is not watched yet.
void WebFileWatcher::Look() {
  std::vector<FileState> now = StatesNow();
  const bool is_stable = std::exchange(last_look_, now) == now;
  if (!is_stable || (attempted_ == now && last_fault_.empty())) return;
  attempted_ = std::move(now);
  const std::vector<std::string> watched = watched_;
  const Status taken = Attempt();
  if (watched_ != watched) attempted_.reset();  // of the new files nothing is known yet
  // A file that cannot be read may be tried many times while somebody works on it.
  std::string fault = taken ? "" : taken.error().message();
  if (!fault.empty() && fault != last_fault_) callbacks_.on_report(taken);
  last_fault_ = std::move(fault);
}

// A file that has lost its logins or its certificate would open the service to everybody: somebody has probably just
// begun to write it, or deleted the last user.
Status WebFileWatcher::Attempt() {
  Result<WebFile> next = LoadWebFile(path_);
  if (!next) return Fail(next.error());
  const bool is_empty = !next->tls && next->headers.empty() && next->access == access::AccessOptions();
  if (is_empty && current_ != *next) return Fail(Errc::kInvalid, mi::format("{}: asks for nothing any more", path_));
  if (current_.access.needs_login() && !next->access.needs_login()) {
    return Fail(Errc::kInvalid, mi::format("{}: has no logins any more; restart the service to open it", path_));
  }
  if (current_.tls && !next->tls) {
    return Fail(Errc::kInvalid,
                mi::format("{}: has no tls_server_config any more; restart the service to do without TLS", path_));
  }
  watched_ = next->files;
  if (*next == current_ && last_fault_.empty()) return {};
  TRY(callbacks_.on_change(*next));
  current_ = *std::move(next);
  callbacks_.on_report({});
  return {};
}

}  // namespace mi::config
