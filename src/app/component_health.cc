#include "app/component_health.h"

#include <utility>

namespace mi::app {

ComponentHealth::ComponentHealth(std::string name, Need need, telemetry::Health& health, telemetry::Logger& log)
    : name_(std::move(name)), need_(need), health_(health), log_(log) {
  if (need_ != Need::kNever) health_.SetWaiting(name_, "its first answer");
}

void ComponentHealth::Report(const Status& status) {
  if (status) {
    health_.SetReady(name_);
    if (!answered_once_ || logged_away_) log_.Info("{}: there", name_);
    answered_once_ = true;
    logged_away_ = false;
    return;
  }
  const bool waits = need_ == Need::kAlways || (need_ == Need::kAtStart && !answered_once_);
  waits ? health_.SetWaiting(name_, status.error().message()) : health_.SetImpaired(name_, status.error().message());
  if (!std::exchange(logged_away_, true)) log_.Warn("{}: {}", name_, status.error().message());
}

}  // namespace mi::app
