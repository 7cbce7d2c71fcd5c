// What all TLS connections of a server share: its certificate, and what it asks of clients.
//
// TLS 1.2 and 1.3, ALPN http/1.1, sessions resumed by tickets that this object alone can read. No renegotiation, no
// compression, no early data, no key exchange without forward secrecy.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/tls/options.h"

struct ssl_ctx_st;
struct x509_st;
struct x509_store_ctx_st;

namespace mi::net {

// Never changes: a new certificate is a new object, and the connections of the old one keep it. Threads: safe.
class TlsContext {
 public:
  // kInvalid: the message names the key of the file ("tls_server_config.key does not belong to …").
  static Result<std::shared_ptr<const TlsContext>> Create(const TlsOptions& options);

  // Whether a certificate that a client shows proves who it is.
  bool verifies_clients() const { return verifies_clients_; }
  // When the server's certificate ends; seconds since the epoch.
  int64_t not_after() const { return not_after_; }
  ssl_ctx_st* get() const { return context_.get(); }

 private:
  struct Free {
    void operator()(ssl_ctx_st* context) const;
  };

  explicit TlsContext(const TlsOptions& options);
  Status UseCertificate(const TlsOptions& options);
  Status UseClientCa(const std::string& pem);
  Status UseSuites(const TlsOptions& options);
  Status UseCurves(const std::vector<std::string>& curves);
  void AskForCertificates(ClientAuth client_auth);
  static int VerifyClient(x509_store_ctx_st* store, void* self);

  const std::unique_ptr<ssl_ctx_st, Free> context_;
  const bool verifies_clients_;
  const std::vector<std::string> allowed_sans_;
  int64_t not_after_ = 0;
};

// The names of a certificate: its subject ("CN=agent,O=acme", RFC 2253), then its SANs (DNS names, IP addresses, e-mail
// addresses, URIs). Without empty ones.
std::vector<std::string> NamesOf(const x509_st* certificate);

}  // namespace mi::net
