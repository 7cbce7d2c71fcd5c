#include "model/fingerprint.h"

#include <algorithm>
#include <cassert>
#include <string>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace mi::model {

std::array<char, 16> Fingerprint::ToBytes() const {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, {.low64 = lo, .high64 = hi});
  std::array<char, 16> bytes;
  static_assert(sizeof canonical.digest == sizeof bytes);
  std::copy(std::begin(canonical.digest), std::end(canonical.digest), bytes.begin());
  return bytes;
}

Fingerprint Fingerprint::FromBytes(std::string_view bytes) {
  assert(bytes.size() == 16);
  XXH128_canonical_t canonical;
  std::copy_n(bytes.data(), sizeof canonical.digest, reinterpret_cast<char*>(canonical.digest));
  const XXH128_hash_t hash = XXH128_hashFromCanonical(&canonical);
  return {.hi = hash.high64, .lo = hash.low64};
}

// The seed is hashed into a secret of 192 bytes, with which XXH3 mixes its input. So series of different tenants have
// different fingerprints without a tenant in the hashed bytes, and labels can be hashed in place. An unknown
// identity.secret also makes it hard to choose labels whose fingerprints collide. The zero bytes keep secret and tenant
// apart.
Fingerprinter::Fingerprinter(std::string_view identity_secret, const Tenant& tenant) {
  std::string seed("metric-index");
  seed.push_back('\0');
  seed += identity_secret;
  seed.push_back('\0');
  seed += tenant.name();
  XXH3_generateSecret(secret_.data(), secret_.size(), seed.data(), seed.size());
}

Fingerprint Fingerprinter::operator()(std::string_view canonical) const {
  const XXH128_hash_t hash =
      XXH3_128bits_withSecret(canonical.data(), canonical.size(), secret_.data(), secret_.size());
  return {.hi = hash.high64, .lo = hash.low64};
}

uint64_t SecretCheck(std::string_view identity_secret) {
  return Fingerprinter(identity_secret, Tenant())("secret check").hi;
}

}  // namespace mi::model
