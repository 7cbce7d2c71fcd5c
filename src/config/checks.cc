#include "config/checks.h"

#include <algorithm>
#include <cstdint>

#include "base/ascii.h"
#include "base/quantity.h"

namespace mi::config {
namespace {

bool IsPort(std::string_view text, uint64_t min) {
  const auto port = ParseWhole(text);
  return port && *port >= min && *port <= 65535;
}

bool IsHost(std::string_view host) {
  if (host.starts_with('[')) return host.size() > 2 && host.ends_with(']');
  return !host.empty() && host.find_first_of(":/@[] ") == std::string_view::npos;
}

struct Parts {
  std::string_view host;
  std::string_view port;
};

Parts SplitAtLastColon(std::string_view value) {
  const size_t colon = value.rfind(':');
  if (colon == std::string_view::npos) return {value, {}};
  return {value.substr(0, colon), value.substr(colon + 1)};
}

bool IsTopicCharacter(char c) { return IsAlnum(c) || c == '.' || c == '_' || c == '-'; }

}  // namespace

std::string_view NotEmpty(std::string_view value) { return value.empty() ? "a value" : ""; }

std::string_view HostPort(std::string_view value) {
  const Parts parts = SplitAtLastColon(value);
  return IsHost(parts.host) && IsPort(parts.port, 1) ? "" : "host:port";
}

std::string_view ListenAddress(std::string_view value) {
  if (value.empty()) return "";
  const Parts parts = SplitAtLastColon(value);
  const bool host = parts.host.empty() || IsHost(parts.host);
  return host && IsPort(parts.port, 0) ? "" : "an address such as :7001, 127.0.0.1:7001 or [::]:7001";
}

// Accepts what net::Url::Parse accepts, so that no URL is refused only when it is used.
std::string_view HttpUrl(std::string_view value) {
  if (value.empty()) return "";
  if (!value.starts_with("http://") && !value.starts_with("https://")) {
    return "a URL that starts with http:// or https://";
  }
  const std::string_view rest = value.substr(value.find("//") + 2);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if (authority.contains('@')) return "a URL without user and password";
  const bool has_port = authority.contains(':') && !authority.ends_with(']');
  const Parts parts = has_port ? SplitAtLastColon(authority) : Parts{authority, "80"};
  if (!IsHost(parts.host) || value.contains(' ')) return "a URL with a host and without blanks";
  return IsPort(parts.port, 1) ? "" : "a URL whose port is 1 to 65535";
}

std::string_view TopicName(std::string_view value) {
  const bool legal = !value.empty() && value.size() <= 249 && value != "." && value != ".." &&
                     std::ranges::all_of(value, IsTopicCharacter);
  return legal ? "" : "a Kafka topic: 1 to 249 of a-z A-Z 0-9 . _ -";
}

}  // namespace mi::config
