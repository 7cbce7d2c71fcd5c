#include "forward/forwarded_request.h"

#include <algorithm>
#include <array>
#include <functional>
#include <span>

#include "base/ascii.h"

namespace mi::forward {
namespace {

constexpr std::string_view kTenantHeader = "X-Scope-OrgID";

// Of the connection to us, except Accept-Encoding: it is about the answer, which nobody but us will read.
constexpr std::array<std::string_view, 13> kNotForwarded = {
    "host",           "content-length", "transfer-encoding",  "connection",          "keep-alive",       "te",
    "trailer",        "upgrade",        "proxy-authenticate", "proxy-authorization", "proxy-connection", "expect",
    "accept-encoding"};

// What the body is, and whose: never of the connection, whatever `Connection` says.
constexpr std::array<std::string_view, 3> kOfTheBody = {"content-type", "content-encoding", "x-scope-orgid"};
constexpr std::array<std::string_view, 2> kCredentials = {"authorization", "cookie"};

bool IsOneOf(std::span<const std::string_view> headers, std::string_view name) {
  return std::ranges::any_of(headers, [&](std::string_view other) { return EqualsIgnoringCase(name, other); });
}

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
  for (const std::string_view header : {std::string_view("X-Forwarded-For"), kTenantHeader}) {
    sender += '\n';
    sender += request.Header(header).value_or("");
  }
  sender += request.path();
  return std::hash<std::string>()(sender);
}

}  // namespace

// An X-Scope-OrgID of the sender is the tenant too, perhaps in another spelling ("7:0"), and goes on as it came.
ForwardedRequest CopyForForwarding(const net::Request& request, std::string_view tenant) {
  ForwardedRequest copy{.body = std::string(request.body()), .sender = SenderOf(request)};
  const std::string_view connection = request.Header("Connection").value_or("");
  bool states_tenant = tenant.empty();
  const auto add = [&copy](net::Headers& to, std::string_view name, std::string_view value) {
    copy.header_bytes += name.size() + value.size();
    to.emplace_back(name, value);
  };
  request.ForEachHeader([&](std::string_view name, std::string_view value) {
    if (IsOneOf(kNotForwarded, name) || (Names(connection, name) && !IsOneOf(kOfTheBody, name))) return;
    if (IsOneOf(kCredentials, name)) return add(copy.credentials, name, value);
    const bool is_tenant = EqualsIgnoringCase(name, kTenantHeader);
    if (is_tenant && value.empty()) return;
    states_tenant |= is_tenant;
    copy.has_content_type |= EqualsIgnoringCase(name, "content-type");
    add(copy.headers, name, value);
  });
  if (!states_tenant) add(copy.headers, kTenantHeader, tenant);
  return copy;
}

}  // namespace mi::forward
