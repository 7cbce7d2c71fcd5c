#include "telemetry/health.h"

#include <algorithm>
#include <utility>

#include "telemetry/printable.h"

namespace mi::telemetry {

void Health::SetWaiting(std::string_view part, std::string what) {
  if (what.empty()) what = "its turn";
  MutexLock lock(mutex_);
  parts_[std::string(part)] = std::move(what);
}

void Health::SetReady(std::string_view part) {
  MutexLock lock(mutex_);
  parts_[std::string(part)].clear();
}

bool Health::Ready() const {
  MutexLock lock(mutex_);
  return !parts_.empty() &&
         std::all_of(parts_.begin(), parts_.end(), [](const auto& part) { return part.second.empty(); });
}

std::string Health::Describe() const {
  MutexLock lock(mutex_);
  if (parts_.empty()) return "process: waiting for its parts\n";
  std::string text;
  for (const auto& [part, what] : parts_) {
    if (what.empty()) continue;
    AppendPrintable(part, text);
    text += ": waiting for ";
    AppendPrintable(what, text);
    text += '\n';
  }
  return text.empty() ? "ready\n" : text;
}

}  // namespace mi::telemetry
