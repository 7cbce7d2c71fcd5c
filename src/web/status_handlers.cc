#include "web/status_handlers.h"

namespace mi::web {

StatusHandlers::StatusHandlers(const telemetry::Health& health, const telemetry::Metrics& metrics) {
  constexpr std::string_view kRead = "GET, HEAD";
  using net::Role;
  auto add = [this](std::string_view path, Role role, std::string_view allowed, std::function<net::Response()> make) {
    pages_.push_back({path, role, Page(allowed, std::move(make))});
  };
  // "ok" and "SUCCESS" have no line break, as in the service that this one replaces.
  add("/", Role::kRead, kRead, [] { return net::Response{.body = "ok"}; });
  add("/health", Role::kAnybody, Page::kAnyMethod, [] { return net::Response{.body = "SUCCESS"}; });
  add("/-/healthy", Role::kAnybody, kRead, [] { return net::Response{.body = "metric-index is healthy.\n"}; });
  for (const std::string_view path : {"/ready", "/-/ready"}) {
    add(path, Role::kAnybody, kRead, [&health] {
      const bool ready = health.Ready();
      return net::Response{.status = ready ? 200 : 503, .body = health.Describe()};
    });
  }
  add("/metrics", Role::kAdmin, kRead, [&metrics] {
    return net::Response{.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics.Render()};
  });
}

void StatusHandlers::RegisterRoutes(net::Router& router) {
  for (auto& [path, role, page] : pages_) router.Add(path, role, page);
}

}  // namespace mi::web
