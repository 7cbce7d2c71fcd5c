// Recomputes the fingerprint of a stored series from its tenant and its identity text. A stored row whose fingerprint
// is another one is damaged.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "model/fingerprint.h"
#include "model/identity.h"

namespace mi::model {

// Threads: confined to one.
class IdentityFingerprinter {
 public:
  explicit IdentityFingerprinter(std::string identity_secret) : identity_secret_(std::move(identity_secret)) {}

  // The labels as IdentityReader returns them. Nothing if this is not the name of a tenant. Costs about 0.2 µs.
  std::optional<Fingerprint> operator()(std::string_view tenant, std::span<const Label> labels);
  // Nothing also if `text` is not an identity.
  std::optional<Fingerprint> operator()(std::string_view tenant, std::string_view text);

 private:
  const Fingerprinter* OfTenant(std::string_view name);

  const std::string identity_secret_;
  std::unordered_map<std::string, Fingerprinter> tenants_;
  const std::pair<const std::string, Fingerprinter>* last_ =
      nullptr;  // in tenants_: series of one tenant are neighbours
  IdentityReader reader_;
  std::string canonical_;  // reused
};

}  // namespace mi::model
