// A client that speaks TLS, for tests. Give it what it offers, then Shake().
#pragma once

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "net/testing/certificates.h"
#include "net/testing/server_fixture.h"

namespace mi::net {

class TlsPeer : public Peer {
 public:
  explicit TlsPeer(uint16_t port) : Peer(port), context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context_.get(), [](SSL* ssl, SSL_SESSION* session) {
      auto* const self = static_cast<TlsPeer*>(SSL_get_app_data(ssl));
      self->ticket_.reset(session);
      return 1;
    });
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_app_data(ssl_.get(), this);
    SSL_set_fd(ssl_.get(), fd());
  }
  TlsPeer(TlsPeer&& other) = delete;

  TlsPeer& Speaks(int min_version, int max_version) {
    SSL_set_security_level(ssl_.get(), 0);  // it may offer what the server must refuse
    SSL_set_min_proto_version(ssl_.get(), min_version);
    SSL_set_max_proto_version(ssl_.get(), max_version);
    return *this;
  }
  TlsPeer& Offers(const char* suites) {  // of TLS 1.2
    SSL_set_cipher_list(ssl_.get(), suites);
    return *this;
  }
  TlsPeer& OffersCurves(const char* curves) {
    SSL_set1_groups_list(ssl_.get(), curves);
    return *this;
  }
  TlsPeer& OffersProtocol(std::string_view name) {
    const std::string list = std::string(1, static_cast<char>(name.size())) + std::string(name);
    SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(list.data()),
                        static_cast<unsigned>(list.size()));
    return *this;
  }
  TlsPeer& Shows(const TestCertificate& own) {
    BIO* const certificate = BIO_new_mem_buf(own.certificate.data(), static_cast<int>(own.certificate.size()));
    BIO* const key = BIO_new_mem_buf(own.key.data(), static_cast<int>(own.key.size()));
    X509* const x509 = PEM_read_bio_X509(certificate, nullptr, nullptr, nullptr);
    EVP_PKEY* const pkey = PEM_read_bio_PrivateKey(key, nullptr, nullptr, nullptr);
    SSL_use_certificate(ssl_.get(), x509);
    SSL_use_PrivateKey(ssl_.get(), pkey);
    EVP_PKEY_free(pkey);
    X509_free(x509);
    BIO_free(key);
    BIO_free(certificate);
    return *this;
  }
  TlsPeer& Resumes(const TlsPeer& other) {
    SSL_set_session(ssl_.get(), other.ticket_.get());
    return *this;
  }

  // Returns false if the handshake fails. With TLS 1.3 the server's verdict on a certificate comes with the first
  // Read().
  bool Shake() {
    ERR_clear_error();
    return SSL_connect(ssl_.get()) == 1;
  }
  bool Send(std::string_view bytes) override {
    size_t written = 0;
    return bytes.empty() || SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written) == 1;
  }
  bool Receive() override {
    char bytes[65536];
    size_t got = 0;
    if (SSL_read_ex(ssl_.get(), bytes, sizeof bytes, &got) != 1) return false;
    Append({bytes, got});
    return true;
  }

  bool was_resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  bool has_ticket() const { return ticket_ != nullptr; }
  // The peer has said properly that it sends no more.
  bool was_told_of_the_end() const { return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0; }
  std::string version() const { return SSL_get_version(ssl_.get()); }
  std::string suite() const { return SSL_get_cipher_name(ssl_.get()); }
  std::string protocol() const {
    const unsigned char* name = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &length);
    return {reinterpret_cast<const char*>(name), length};
  }
  // The subject of the server's certificate.
  std::string server_name() const { return NamesOf(SSL_get0_peer_certificate(ssl_.get())).front(); }
  ssl_st* get() { return ssl_.get(); }

 private:
  template <auto free>
  struct Freed {
    template <typename T>
    void operator()(T* object) const {
      free(object);
    }
  };
  std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>> context_;
  std::unique_ptr<SSL_SESSION, Freed<SSL_SESSION_free>> ticket_;
  std::unique_ptr<SSL, Freed<SSL_free>> ssl_;
};

}  // namespace mi::net
