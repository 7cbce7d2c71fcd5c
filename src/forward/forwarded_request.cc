#include "forward/forwarded_request.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>

#include "base/ascii.h"

namespace mi::forward {
namespace {

// Of the connection to us, except Accept-Encoding: it is about the answer, which nobody but us will read.
constexpr std::array<std::string_view, 13> kNotForwarded = {
    "host",           "content-length", "transfer-encoding",  "connection",          "keep-alive",       "te",
    "trailer",        "upgrade",        "proxy-authenticate", "proxy-authorization", "proxy-connection", "expect",
    "accept-encoding"};

bool Names(std::string_view comma_separated, std::string_view header) {
  while (!comma_separated.empty()) {
    const std::string_view item = comma_separated.substr(0, comma_separated.find(','));
    if (EqualsIgnoringCase(TrimSpace(item), header)) return true;
    comma_separated.remove_prefix(std::min(item.size() + 1, comma_separated.size()));
  }
  return false;
}

// Behind a load balancer all senders have its address; X-Forwarded-For then tells them apart. The path may name a
// tenant.
size_t SenderOf(const net::Request& request) {
  std::string sender(request.peer());
  for (const std::string_view header : {"X-Forwarded-For", "X-Scope-OrgID"}) {
    sender += '\n';
    sender += request.Header(header).value_or("");
  }
  sender += request.path();
  return std::hash<std::string>()(sender);
}

}  // namespace

ForwardedRequest CopyForForwarding(const net::Request& request) {
  ForwardedRequest copy{.body = std::string(request.body()), .sender = SenderOf(request)};
  const std::string_view connection = request.Header("Connection").value_or("");
  request.ForEachHeader([&](std::string_view name, std::string_view value) {
    const auto is_name = [&](std::string_view other) { return EqualsIgnoringCase(name, other); };
    if (std::ranges::any_of(kNotForwarded, is_name) || Names(connection, name)) return;
    copy.has_content_type |= is_name("content-type");
    copy.header_bytes += name.size() + value.size();
    copy.headers.emplace_back(name, value);
  });
  return copy;
}

}  // namespace mi::forward
