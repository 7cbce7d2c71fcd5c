// Certificates for tests, made on the spot.
#pragma once

#include <string>

namespace mi::net {

// In PEM form.
struct TestCertificate {
  std::string certificate;
  std::string key;
};

struct CertificateRequest {
  std::string common_name = "localhost";
  std::string organization = {};
  std::string sans = "DNS:localhost,IP:127.0.0.1";  // as OpenSSL's configuration writes them; '' = none
  bool is_authority = false;
  long valid_seconds = 3600;  // may be negative: it has ended
};

// Signed by `issuer`, or by itself if that is null.
TestCertificate MakeCertificate(const CertificateRequest& request, const TestCertificate* issuer = nullptr);

}  // namespace mi::net
