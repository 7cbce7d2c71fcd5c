// Who may do what, and how often: basic_auth_users, tokens, grants and rate_limit of the web configuration file
// (docs/security.md).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace mi::access {

struct Grant {
  std::vector<std::string> roles;    // write, read, admin; at least one
  std::vector<std::string> tenants;  // "*" = all; at least one

  bool operator==(const Grant&) const = default;
};

// A bearer token.
struct Token {
  std::string name;
  std::string sha256;  // of the token, in hexadecimal
  Grant grant;

  bool operator==(const Token&) const = default;
};

struct AccessOptions {
  std::map<std::string, std::string> users;  // name to bcrypt hash
  std::vector<Token> tokens;
  // By name of a user, or by subject or SAN of a client certificate. A user without a grant may write and read
  // everything. A certificate without a grant is no login.
  std::map<std::string, Grant> grants;
  // rate_limit, over all requests together: one per interval, and `request_burst` at once. 0 = no limit.
  std::chrono::microseconds request_interval{0};
  uint64_t request_burst = 0;

  // Whether a login is needed at all.
  bool needs_login() const { return !users.empty() || !tokens.empty() || !grants.empty(); }

  bool operator==(const AccessOptions&) const = default;
};

}  // namespace mi::access
