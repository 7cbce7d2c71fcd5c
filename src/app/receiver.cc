#include "app/receiver.h"

#include <algorithm>
#include <string>
#include <utility>

#include "app/role_options.h"

namespace mi::app {
namespace {

// Redis knows nothing of metadata: a statement is published once per window.
dedupe::SeenOptions MetadataSeenOptionsOf(dedupe::SeenOptions series) {
  series.confirm_after_s = 0;
  return series;
}

std::vector<forward::TargetOptions> RemoteSendTargetsOf(const config::Config& config) {
  const std::optional<forward::TargetOptions> target = RemoteSendTargetOf(config);
  if (!target) return {};
  return {*target};
}

}  // namespace

Result<std::unique_ptr<Receiver>> Receiver::Create(const config::Config& config,
                                                   const dedupe::SeenOptions& seen_options, Deps deps) {
  const forward::ForwardDeps forward{deps.log, deps.metrics};
  auto remote_write = TRY(forward::Forwarder::Create(RemoteWriteTargetsOf(config), forward));
  auto remote_send = TRY(forward::Forwarder::Create(RemoteSendTargetsOf(config), forward));
  return std::unique_ptr<Receiver>(
      new Receiver(config, seen_options, std::move(deps), std::move(remote_write), std::move(remote_send)));
}

Receiver::Receiver(const config::Config& config, const dedupe::SeenOptions& seen_options, Deps deps,
                   std::unique_ptr<forward::Forwarder> remote_write, std::unique_ptr<forward::Forwarder> remote_send)
    : remote_write_(std::move(remote_write)),
      remote_send_(std::move(remote_send)),
      seen_(std::move(deps.seen)),
      gauges_(ShowSeenTable(*seen_, deps.metrics)),
      seen_metadata_(std::make_unique<dedupe::SeenSet>(MetadataSeenOptionsOf(seen_options), deps.clock)),
      receive_metrics_(deps.metrics),
      options_(ReceiveOptionsOf(config)),
      cache_(config.identity.secret, *seen_) {
  publish_once_.emplace(receive::PublishOnceDeps{*seen_, *seen_metadata_, claims_, deps.publisher, receive_metrics_,
                                                 deps.clock, deps.shared});
  const receive::IntakeDeps intake{*seen_, *seen_metadata_, deps.activity, deps.clock, receive_metrics_};
  write_.emplace(receive::WriteHandlerOptions{.identity_secret = config.identity.secret},
                 receive::WriteHandlerDeps{intake, *publish_once_, options_, [this](const net::Request& request) {
                                             return remote_write_->Prepare(request);
                                           }});
  send_.emplace(receive::SendHandlerOptions{.identity_secret = config.identity.secret},
                receive::SendHandlerDeps{intake, *publish_once_, options_,
                                         [this](std::string points) { remote_send_->Send(std::move(points)); }});
}

void Receiver::RegisterRoutes(net::Router& router) {
  write_->RegisterRoutes(router);
  send_->RegisterRoutes(router);
  router.Add("/api/v1/metrics/cache", cache_);
}

Status Receiver::Reconfigure(const config::Config& config, const dedupe::SeenOptions& seen_options) {
  TRY_WITHIN(remote_write_->Reconfigure(RemoteWriteTargetsOf(config)), "remote.write");
  TRY_WITHIN(remote_send_->Reconfigure(RemoteSendTargetsOf(config)), "remote.send");
  options_.Set(ReceiveOptionsOf(config));
  seen_->Reconfigure(seen_options);
  seen_metadata_->Reconfigure(MetadataSeenOptionsOf(seen_options));
  return {};
}

void Receiver::Refuse() {
  write_->Refuse();
  send_->Refuse();
}

void Receiver::ExpireAll() {
  publish_once_->ExpireAll();
  remote_write_->ExpireAll();
}

void Receiver::Stop(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  remote_write_->Drain(time);
  remote_write_->Stop();
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
  remote_send_->Drain(std::max(left, std::chrono::milliseconds(0)));
  remote_send_->Stop();
}

void Receiver::Sweep() {
  seen_->Sweep();
  seen_metadata_->Sweep();
}

}  // namespace mi::app
