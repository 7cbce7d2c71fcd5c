#include "app/receiving.h"

#include <utility>

#include "app/role_options.h"

namespace mi::app {

Receiving::Receiving(const config::Config& config, const dedupe::SeenOptions& seen_options, Deps deps)
    : seen_(std::move(deps.seen)),
      figures_(ShowSeenTable(*seen_, deps.metrics)),
      seen_metadata_(dedupe::SeenSet::Create(seen_options, deps.clock)),
      receive_metrics_(deps.metrics),
      options_(ReceiveOptionsOf(config)),
      cache_(config.identity.secret, *seen_) {
  departures_.emplace(
      receive::DeparturesDeps{*seen_, *seen_metadata_, *in_flight_, deps.publisher, receive_metrics_, deps.shared});
  write_.emplace(receive::WriteHandlerOptions{.identity_secret = config.identity.secret},
                 receive::WriteHandlerDeps{
                     {*seen_, *seen_metadata_, deps.activity, deps.clock, receive_metrics_}, *departures_, options_});
}

void Receiving::RegisterRoutes(net::Router& router) {
  write_->RegisterRoutes(router);
  router.Add("/api/v1/metrics/cache", cache_);
}

void Receiving::Reconfigure(const config::Config& config, const dedupe::SeenOptions& seen_options) {
  options_.Set(ReceiveOptionsOf(config));
  seen_->Reconfigure(seen_options);
  seen_metadata_->Reconfigure(seen_options);
}

void Receiving::Sweep() {
  seen_->Sweep();
  seen_metadata_->Sweep();
}

}  // namespace mi::app
