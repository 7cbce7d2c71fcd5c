#include "model/identity_fingerprinter.h"

namespace mi::model {

const Fingerprinter* IdentityFingerprinter::OfTenant(std::string_view name) {
  constexpr size_t kMaxTenants = 10'000;  // damaged rows may name any number of them
  if (last_ != nullptr && last_->first == name) return &last_->second;
  const Result<Tenant> tenant = Tenant::Parse(name);
  if (!tenant || tenant->name() != name) return nullptr;
  if (tenants_.size() >= kMaxTenants) tenants_.clear();
  last_ = &*tenants_.try_emplace(std::string(name), identity_secret_, *tenant).first;
  return &last_->second;
}

std::optional<Fingerprint> IdentityFingerprinter::operator()(std::string_view tenant, std::span<const Label> labels) {
  const Fingerprinter* const fingerprinter = OfTenant(tenant);
  if (fingerprinter == nullptr) return std::nullopt;
  canonical_.clear();
  for (const Label& label : labels) AppendCanonical(label, canonical_);
  return (*fingerprinter)(canonical_);
}

std::optional<Fingerprint> IdentityFingerprinter::operator()(std::string_view tenant, std::string_view text) {
  const Result<std::span<const Label>> labels = reader_.Read(text);
  if (!labels) return std::nullopt;
  return (*this)(tenant, *labels);
}

}  // namespace mi::model
