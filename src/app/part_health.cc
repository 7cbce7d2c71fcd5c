#include "app/part_health.h"

#include <utility>

namespace mi::app {

PartHealth::PartHealth(std::string part, Need need, telemetry::Health& health, telemetry::Logger& log)
    : part_(std::move(part)), need_(need), health_(health), log_(log) {
  if (need_ != Need::kNever) health_.SetWaiting(part_, "its first answer");
}

void PartHealth::Report(const Status& status) {
  if (status) {
    health_.SetReady(part_);
    if (!was_there_ || said_away_) log_.Info("{}: there", part_);
    was_there_ = true;
    said_away_ = false;
    return;
  }
  const bool waits = need_ == Need::kAlways || (need_ == Need::kAtStart && !was_there_);
  waits ? health_.SetWaiting(part_, status.error().message()) : health_.SetImpaired(part_, status.error().message());
  if (!std::exchange(said_away_, true)) log_.Warn("{}: {}", part_, status.error().message());
}

}  // namespace mi::app
