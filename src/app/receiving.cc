#include "app/receiving.h"

#include <algorithm>
#include <string>
#include <utility>

#include "app/role_options.h"

namespace mi::app {
namespace {

// There is nothing to ask behind the table of metadata: a statement is published once a window.
dedupe::SeenOptions MetadataSeenOptionsOf(dedupe::SeenOptions series) {
  series.confirm_after_s = 0;
  return series;
}

}  // namespace

Result<std::unique_ptr<Receiving>> Receiving::Create(const config::Config& config,
                                                     const dedupe::SeenOptions& seen_options, Deps deps) {
  const forward::ForwardDeps forward{deps.log, deps.metrics};
  auto remote_write = forward::RemoteWrite::Create(RemoteWriteTargetsOf(config), forward);
  if (!remote_write) return Fail(remote_write.error());
  auto remote_send = forward::RemoteSend::Create(RemoteSendTargetOf(config), forward);
  if (!remote_send) return Fail(remote_send.error());
  return std::unique_ptr<Receiving>(
      new Receiving(config, seen_options, std::move(deps), *std::move(remote_write), *std::move(remote_send)));
}

Receiving::Receiving(const config::Config& config, const dedupe::SeenOptions& seen_options, Deps deps,
                     std::unique_ptr<forward::RemoteWrite> remote_write,
                     std::unique_ptr<forward::RemoteSend> remote_send)
    : remote_write_(std::move(remote_write)),
      remote_send_(std::move(remote_send)),
      seen_(std::move(deps.seen)),
      figures_(ShowSeenTable(*seen_, deps.metrics)),
      seen_metadata_(dedupe::SeenSet::Create(MetadataSeenOptionsOf(seen_options), deps.clock)),
      receive_metrics_(deps.metrics),
      options_(ReceiveOptionsOf(config)),
      cache_(config.identity.secret, *seen_) {
  departures_.emplace(receive::DeparturesDeps{*seen_, *seen_metadata_, *in_flight_, deps.publisher, receive_metrics_,
                                              deps.clock, deps.shared});
  write_.emplace(
      receive::WriteHandlerOptions{.identity_secret = config.identity.secret},
      receive::WriteHandlerDeps{{*seen_, *seen_metadata_, deps.activity, deps.clock, receive_metrics_},
                                *departures_,
                                options_,
                                [this](const net::Request& request) { return remote_write_->Keep(request); }});
  send_.emplace(receive::SendHandlerOptions{.identity_secret = config.identity.secret},
                receive::SendHandlerDeps{*seen_, deps.activity, deps.clock, receive_metrics_, *departures_, options_,
                                         [this](std::string points) { remote_send_->Send(std::move(points)); }});
}

void Receiving::RegisterRoutes(net::Router& router) {
  write_->RegisterRoutes(router);
  send_->RegisterRoutes(router);
  router.Add("/api/v1/metrics/cache", cache_);
}

Status Receiving::Reconfigure(const config::Config& config, const dedupe::SeenOptions& seen_options) {
  if (const Status taken = remote_write_->Reconfigure(RemoteWriteTargetsOf(config)); !taken) {
    return Fail(taken.error().Within("remote.write"));
  }
  if (const Status taken = remote_send_->Reconfigure(RemoteSendTargetOf(config)); !taken) {
    return Fail(taken.error().Within("remote.send"));
  }
  options_.Set(ReceiveOptionsOf(config));
  seen_->Reconfigure(seen_options);
  seen_metadata_->Reconfigure(MetadataSeenOptionsOf(seen_options));
  return {};
}

void Receiving::Refuse() {
  write_->Refuse();
  send_->Refuse();
}

void Receiving::ExpireAll() {
  departures_->ExpireAll();
  remote_write_->ExpireAll();
}

void Receiving::StopForwarding(std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  remote_write_->Stop(patience);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
  remote_send_->Stop(std::max(left, std::chrono::milliseconds(0)));
}

void Receiving::Sweep() {
  seen_->Sweep();
  seen_metadata_->Sweep();
}

}  // namespace mi::app
