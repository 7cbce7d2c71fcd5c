// The 16 bytes that identify a series in the local table, Redis and SQL (docs/formats/identity.md).
//
// XXH3-128 over the canonical label bytes, with a 192-byte secret made by XXH3_generateSecret from
// "metric-index" 0x00 identity.secret 0x00 tenant.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>

#include "model/tenant.h"

namespace mi::model {

struct Fingerprint {
  uint64_t hi = 0;
  uint64_t lo = 0;

  // The canonical big-endian form, which is stored and sent.
  std::array<char, 16> ToBytes() const;
  // Requires: bytes.size() == 16.
  static Fingerprint FromBytes(std::string_view bytes);

  friend auto operator<=>(const Fingerprint&, const Fingerprint&) = default;
};

// Computes the fingerprints of one tenant. A value of 200 bytes; construct it once per request, not once per series.
// Threads: compatible; concurrent calls of the const members are safe.
class Fingerprinter {
 public:
  Fingerprinter(std::string_view identity_secret, const Tenant& tenant);
  Fingerprint operator()(std::string_view canonical) const;

 private:
  std::array<unsigned char, 192> secret_;
};

// Detects a changed identity secret without revealing it. Stored in the database, the snapshot and activity records.
uint64_t SecretCheck(std::string_view identity_secret);

}  // namespace mi::model

template <>
struct std::hash<mi::model::Fingerprint> {
  size_t operator()(const mi::model::Fingerprint& f) const noexcept { return f.lo; }
};
