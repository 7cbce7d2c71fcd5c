#include "web/status_handlers.h"

#include <functional>
#include <string>
#include <utility>

namespace mi::web {
namespace {

enum class Methods { kGetAndHead, kAny };

}  // namespace

class StatusHandlers::Page final : public net::Handler {
 public:
  Page(Methods methods, std::function<net::Response()> make) : methods_(methods), make_(std::move(make)) {}

  net::HeadDecision Head(const net::Request& request) override {
    const bool reads = request.method() == "GET" || request.method() == "HEAD";
    if (methods_ == Methods::kAny || reads) {
      return {.handle = [this](const net::Request&, net::Reply reply) { reply(make_()); }};
    }
    return {.answer =
                net::Response{.status = 405, .body = "Method Not Allowed\n", .headers = {{"Allow", "GET, HEAD"}}}};
  }

 private:
  const Methods methods_;
  const std::function<net::Response()> make_;
};

StatusHandlers::StatusHandlers(const telemetry::Health& health, const telemetry::Metrics& metrics) {
  auto add = [this](std::string_view path, Methods methods, std::function<net::Response()> make) {
    routes_.push_back({.path = std::string(path), .page = std::make_unique<Page>(methods, std::move(make))});
  };
  // "ok" and "SUCCESS" without a line break: what existed before says them so.
  add("/", Methods::kGetAndHead, [] { return net::Response{.body = "ok"}; });
  add("/health", Methods::kAny, [] { return net::Response{.body = "SUCCESS"}; });
  add("/-/healthy", Methods::kGetAndHead, [] { return net::Response{.body = "metric-index is healthy.\n"}; });
  for (const std::string_view path : {"/ready", "/-/ready"}) {
    add(path, Methods::kGetAndHead, [&health] {
      const bool ready = health.Ready();
      return net::Response{.status = ready ? 200 : 503, .body = health.Describe()};
    });
  }
  add("/metrics", Methods::kGetAndHead, [&metrics] {
    return net::Response{.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics.Render()};
  });
}

StatusHandlers::~StatusHandlers() = default;

void StatusHandlers::RegisterRoutes(net::Router& router) {
  for (const Route& route : routes_) router.Add(route.path, *route.page);
}

}  // namespace mi::web
