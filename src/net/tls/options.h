// How the server speaks TLS: tls_server_config of the web configuration file (docs/security.md), with its files read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mi::net {

// Whether clients show certificates. The names are Go's, which the file uses.
enum class ClientAuth : uint8_t {
  kNoClientCert,
  kRequestClientCert,           // one may be shown; it is not verified, and proves nothing
  kRequireAnyClientCert,        // one must be shown; it is not verified, and proves nothing
  kVerifyClientCertIfGiven,     // one that is shown must be verified
  kRequireAndVerifyClientCert,  // one must be shown, and verified
};

// Older versions are not spoken.
enum class TlsVersion : uint8_t { kTls12, kTls13 };

struct TlsOptions {
  std::string certificate;  // PEM: the server's, then those of intermediate authorities
  std::string key;          // PEM
  ClientAuth client_auth = ClientAuth::kNoClientCert;
  std::string client_ca;                         // PEM; '' = the authorities that the system trusts
  std::vector<std::string> client_allowed_sans;  // not empty: a client's certificate must have one of these names
  TlsVersion min_version = TlsVersion::kTls12;
  TlsVersion max_version = TlsVersion::kTls13;
  std::vector<std::string>
      cipher_suites;  // of TLS 1.2, by Go's names, in order; empty = ECDHE with AES-GCM or ChaCha20
  std::vector<std::string> curve_preferences;  // by Go's names, in order; empty = OpenSSL's
  bool prefer_server_cipher_suites = true;

  bool operator==(const TlsOptions&) const = default;
};

}  // namespace mi::net
