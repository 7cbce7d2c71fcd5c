#include "forward/passed_request.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <functional>
#include <string_view>

namespace mi::forward {
namespace {

constexpr std::array<std::string_view, 12> kNotPassedOn = {
    "host",    "content-length", "transfer-encoding",  "connection",          "keep-alive",       "te",
    "trailer", "upgrade",        "proxy-authenticate", "proxy-authorization", "proxy-connection", "expect"};

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

// Whether `name` is one of a comma-separated list, both in lower case.
bool IsListed(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    std::string_view item = list.substr(0, end);
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    if (item == name) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

// Behind a balancer all senders have its address; it says whose request it is.
size_t SenderOf(const net::Request& request) {
  std::string sender(request.peer());
  for (const std::string_view header : {"X-Forwarded-For", "X-Scope-OrgID"}) {
    sender += '\n';
    sender += request.Header(header).value_or("");
  }
  sender += request.path();  // it may name a tenant
  return std::hash<std::string>()(sender);
}

}  // namespace

PassedRequest PassedRequestOf(const net::Request& request) {
  PassedRequest passed{.body = std::string(request.body()), .sender = SenderOf(request)};
  const std::string connection = Lower(request.Header("Connection").value_or(""));
  request.ForEachHeader([&](std::string_view name, std::string_view value) {
    const std::string lower = Lower(name);
    if (std::ranges::find(kNotPassedOn, lower) != kNotPassedOn.end() || IsListed(connection, lower)) return;
    if (lower == "accept-encoding") return;  // answers are read here, not there
    passed.has_content_type |= lower == "content-type";
    passed.header_bytes += name.size() + value.size();
    passed.headers.emplace_back(name, value);
  });
  return passed;
}

}  // namespace mi::forward
