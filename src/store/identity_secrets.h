// The secret that the fingerprints of a catalogue are made with (docs/formats/identity.md), and where it comes from.
#pragma once

#include <string>

namespace mi::store {

// What a process knows of it before it opens the catalogue. A catalogue that exists keeps its secret.
struct IdentitySecrets {
  std::string configured;  // identity.secret. If it is not empty, it must be the catalogue's
  // A new catalogue keeps this one if nothing is configured: a random text, or the secret of a journal that outlived
  // its catalogue. Empty: the catalogue has none, and outsiders can compute its fingerprints.
  std::string if_new;

  bool operator==(const IdentitySecrets&) const = default;
};

// What a catalogue is.
struct CatalogIdentity {
  std::string uuid;
  std::string secret;  // may be empty
};

}  // namespace mi::store
