#include "access/rules.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/format.h"
#include "model/tenant.h"

namespace mi::access {
namespace {

constexpr std::string_view kAllTenants = "*";

Result<Principal> PrincipalOf(std::string name, const Grant& grant, const std::string& path) {
  constexpr std::array<std::pair<std::string_view, net::Role>, 3> kRoles = {
      {{"write", net::Role::kWrite}, {"read", net::Role::kRead}, {"admin", net::Role::kAdmin}}};
  Principal principal;
  for (const auto& [role, value] : kRoles) {
    if (std::ranges::find(grant.roles, role) != grant.roles.end())
      principal.roles |= static_cast<uint8_t>(1U << static_cast<unsigned>(value));
  }
  auto caller = std::make_shared<net::Caller>(net::Caller{.name = std::move(name)});
  for (const std::string& text : grant.tenants) {
    if (text == kAllTenants) {
      caller->all_tenants = true;
      continue;
    }
    const Result<model::Tenant> tenant = model::Tenant::Parse(text);
    if (!tenant) return Fail(tenant.error().Within(path + ".tenants"));
    caller->tenants.push_back(tenant->name());
  }
  std::ranges::sort(caller->tenants);
  const auto repeated = std::ranges::unique(caller->tenants);
  caller->tenants.erase(repeated.begin(), repeated.end());
  principal.caller = std::move(caller);
  return principal;
}

// Requires: 64 hexadecimal digits.
Digest DigestOf(std::string_view hex) {
  Digest digest;
  for (size_t i = 0; i < digest.size(); ++i) std::from_chars(hex.data() + 2 * i, hex.data() + 2 * i + 2, digest[i], 16);
  return digest;
}

template <typename Table, typename Key>
const typename Table::mapped_type* Find(const Table& table, const Key& key) {
  const auto found = table.find(key);
  return found == table.end() ? nullptr : &found->second;
}

}  // namespace

Result<Rules> Rules::Create(const AccessOptions& options) {
  const Grant everything{.roles = {"write", "read"}, .tenants = {std::string(kAllTenants)}};
  Rules rules;
  rules.needs_login_ = options.needs_login();
  for (const auto& [name, grant] : options.grants) {
    const std::string path = "grants." + name;
    rules.grants_.emplace(name, TRY(PrincipalOf(name, grant, path)));
  }
  for (const auto& [name, hash] : options.users) {
    const Principal* const granted = Find(rules.grants_, name);
    Principal principal = granted != nullptr ? *granted : TRY(PrincipalOf(name, everything, name));
    rules.users_.emplace(name, User{hash, std::move(principal)});
  }
  for (size_t i = 0; i < options.tokens.size(); ++i) {
    const Token& token = options.tokens[i];
    const std::string path = format("tokens[{}]", i);
    rules.tokens_.emplace(DigestOf(token.sha256), TRY(PrincipalOf(token.name, token.grant, path)));
  }
  // Browsers ask for a password only if Basic is offered.
  if (!rules.users_.empty()) rules.challenge_ = R"(Basic realm="metric-index", charset="UTF-8")";
  if (!rules.tokens_.empty()) {
    rules.challenge_.append(rules.challenge_.empty() ? "" : ", ").append(R"(Bearer realm="metric-index")");
  }
  if (rules.challenge_.empty()) rules.challenge_ = R"(Certificate realm="metric-index")";
  return rules;
}

const User* Rules::FindUser(const std::string& name) const { return Find(users_, name); }
const Principal* Rules::FindToken(const Digest& sha256) const { return Find(tokens_, sha256); }

// A user's grant is found too, if a certificate has the user's name: who signs certificates is trusted with that.
const Principal* Rules::FindCertificate(std::span<const std::string> names) const {
  for (const std::string& name : names) {
    if (const Principal* const found = Find(grants_, name)) return found;
  }
  return nullptr;
}

}  // namespace mi::access
