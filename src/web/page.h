// Handlers whose answer is made at once, on the server's thread.
#pragma once

#include <functional>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>

#include "net/http.h"

namespace mi::web {

// 405 with an Allow header, unless the method is one of `allowed` ("GET, HEAD").
inline std::optional<net::Response> RefuseMethod(const net::Request& request, std::string_view allowed) {
  for (const auto method : std::views::split(allowed, std::string_view(", "))) {
    if (std::string_view(method.begin(), method.end()) == request.method()) return std::nullopt;
  }
  return net::Response{.status = 405, .body = "Method Not Allowed\n", .headers = {{"Allow", std::string(allowed)}}};
}

// Threads: safe if `make` is.
class Page final : public net::Handler {
 public:
  static constexpr std::string_view kAnyMethod{};

  Page(std::string_view allowed, std::function<net::Response()> make) : allowed_(allowed), make_(std::move(make)) {}

  net::HeadDecision Head(const net::Request& request) override {
    if (allowed_ != kAnyMethod) {
      if (auto refused = RefuseMethod(request, allowed_)) return {.answer = std::move(refused)};
    }
    return {.handle = [this](const net::Request&, net::Reply reply) { reply(make_()); }};
  }

 private:
  const std::string_view allowed_;
  const std::function<net::Response()> make_;
};

}  // namespace mi::web
