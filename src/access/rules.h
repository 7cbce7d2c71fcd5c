// Who may do what, ready to be looked up.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "access/digest.h"
#include "access/options.h"
#include "base/result.h"
#include "net/http.h"

namespace mi::access {

// Somebody who may log in.
struct Principal {
  std::shared_ptr<const net::Caller> caller;
  uint8_t roles = 0;  // a bit per net::Role

  bool Has(net::Role role) const { return (roles >> static_cast<unsigned>(role) & 1) != 0; }
};

struct User {
  std::string hash;  // bcrypt
  Principal principal;
};

// A value that never changes. Threads: safe.
class Rules {
 public:
  // kInvalid: the message names the key of the file ("tokens[2].tenants: …").
  static Result<Rules> Create(const AccessOptions& options);

  bool needs_login() const { return needs_login_; }
  // WWW-Authenticate: which logins there are.
  const std::string& challenge() const { return challenge_; }

  // Null if there is none.
  const User* FindUser(const std::string& name) const;
  const Principal* FindToken(const Digest& sha256) const;
  // `names`: of a verified certificate. The first that has a grant counts.
  const Principal* FindCertificate(std::span<const std::string> names) const;

 private:
  bool needs_login_ = false;
  std::string challenge_;
  std::map<std::string, User> users_;
  std::map<Digest, Principal> tokens_;
  std::map<std::string, Principal> grants_;
};

}  // namespace mi::access
