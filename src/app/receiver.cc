#include "app/receiver.h"

#include <algorithm>
#include <string>
#include <utility>

#include "app/gauges.h"
#include "app/role_options.h"

namespace mi::app {
namespace {

// The table of metadata never has a shared tier behind it: a statement is published once per window.
dedupe::SeenOptions MetadataSeenOptionsOf(const config::Config& config) { return StandaloneSeenOptionsOf(config); }

receive::ReceiveOptions WithSecret(receive::ReceiveOptions options, const std::string& identity_secret) {
  options.identity_secret = identity_secret;
  return options;
}

}  // namespace

Result<std::unique_ptr<Receiver>> Receiver::Create(const config::Config& config, Deps deps) {
  const forward::ForwardDeps forward{deps.log, deps.metrics};
  auto remote_write = TRY(forward::Forwarder::Create(RemoteWriteTargetsOf(config), forward));
  auto remote_send = TRY(forward::Forwarder::Create(RemoteSendTargetsOf(config), forward));
  return std::unique_ptr<Receiver>(
      new Receiver(config, std::move(deps), std::move(remote_write), std::move(remote_send)));
}

Receiver::Receiver(const config::Config& config, Deps deps, std::unique_ptr<forward::Forwarder> remote_write,
                   std::unique_ptr<forward::Forwarder> remote_send)
    : remote_write_(std::move(remote_write)),
      remote_send_(std::move(remote_send)),
      seen_(std::move(deps.seen)),
      has_shared_tier_(deps.shared != nullptr),
      gauges_(ShowSeenTable(*seen_, deps.metrics)),
      seen_metadata_(MetadataSeenOptionsOf(config), deps.clock),
      receive_metrics_(deps.metrics),
      next_options_(WithSecret(config.receive, deps.identity_secret)),
      options_(next_options_),
      cache_(options_, *seen_),
      cleanup_interval_(config.seen.cleanup_interval),
      sweep_([this] { return *cleanup_interval_.Get(); },
             [this] {
               seen_->Sweep();
               seen_metadata_.Sweep();
             }) {
  publish_once_.emplace(receive::PublishOnceDeps{*seen_, seen_metadata_, claims_, deps.publisher, receive_metrics_,
                                                 deps.clock, deps.shared});
  const receive::IntakeDeps intake{*seen_, seen_metadata_, deps.activity, deps.clock, receive_metrics_};
  write_.emplace(receive::WriteHandlerDeps{intake, *publish_once_, options_, long_work_, deps.memory,
                                           [this](const net::Request& request, const model::Tenant& tenant) {
                                             return remote_write_->Prepare(request, tenant.name());
                                           }});
  send_.emplace(receive::SendHandlerDeps{intake, *publish_once_, options_, long_work_, deps.memory,
                                         [this](std::string points) { remote_send_->Send(std::move(points)); }});
}

void Receiver::RegisterRoutes(net::Router& router) {
  write_->RegisterRoutes(router);
  send_->RegisterRoutes(router);
  router.Add("/api/v1/metrics/cache", net::Role::kRead, cache_);
}

Status Receiver::Reconfigure(const config::Config& config) {
  TRY_WITHIN(remote_write_->Reconfigure(RemoteWriteTargetsOf(config)), "remote.write");
  TRY_WITHIN(remote_send_->Reconfigure(RemoteSendTargetsOf(config)), "remote.send");
  {
    MutexLock lock(mutex_);
    next_options_ = WithSecret(config.receive, next_options_.identity_secret);
    options_.Set(next_options_);
  }
  seen_->Reconfigure(has_shared_tier_ ? config.seen : StandaloneSeenOptionsOf(config));
  seen_metadata_.Reconfigure(MetadataSeenOptionsOf(config));
  cleanup_interval_.Set(config.seen.cleanup_interval);
  return {};
}

void Receiver::SetIdentitySecret(const std::string& identity_secret) {
  MutexLock lock(mutex_);
  next_options_.identity_secret = identity_secret;
  options_.Set(next_options_);
}

void Receiver::Refuse() {
  write_->Refuse();
  send_->Refuse();
}

void Receiver::ExpireAll() {
  long_work_.Expire();
  publish_once_->ExpireAll();
  remote_write_->ExpireAll();
}

void Receiver::Stop(std::chrono::milliseconds time) {
  sweep_.Stop();
  long_work_.Stop();  // a request that was being read may just begin to wait
  ExpireAll();
  const auto end = std::chrono::steady_clock::now() + time;
  remote_write_->Drain(time);
  remote_write_->Stop();
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
  remote_send_->Drain(std::max(left, std::chrono::milliseconds(0)));
  remote_send_->Stop();
}

}  // namespace mi::app
