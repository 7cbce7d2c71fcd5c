#include "telemetry/health.h"

#include <algorithm>
#include <utility>

#include "base/quote.h"

namespace mi::telemetry {

void Health::Set(std::string_view part, Part now) {
  MutexLock lock(mutex_);
  parts_[std::string(part)] = std::move(now);
}

void Health::SetWaiting(std::string_view part, std::string what) {
  if (what.empty()) what = "its turn";
  Set(part, {State::kWaiting, std::move(what)});
}
void Health::SetImpaired(std::string_view part, std::string what) { Set(part, {State::kImpaired, std::move(what)}); }
void Health::SetReady(std::string_view part) { Set(part, {}); }
void Health::Report(std::string_view part, const Status& works) {
  works ? SetReady(part) : SetWaiting(part, works.error().message());
}

bool Health::NoPartWaits() const {
  return std::ranges::none_of(parts_, [](const auto& part) { return part.second.state == State::kWaiting; });
}

bool Health::Ready() const {
  MutexLock lock(mutex_);
  return !parts_.empty() && NoPartWaits();
}

std::string Health::Describe() const {
  MutexLock lock(mutex_);
  if (parts_.empty()) return "process: waiting for its parts\n";
  std::string text = NoPartWaits() ? "ready\n" : "";
  for (const auto& [name, part] : parts_) {
    if (part.state == State::kReady) continue;
    AppendPrintable(name, text);
    text += part.state == State::kWaiting ? ": waiting for " : ": impaired: ";
    AppendPrintable(part.what, text);
    text += '\n';
  }
  return text;
}

}  // namespace mi::telemetry
