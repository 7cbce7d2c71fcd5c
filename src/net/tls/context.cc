#include "net/tls/context.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <climits>
#include <ctime>
#include <new>
#include <string_view>
#include <utility>

#include "base/format.h"
#include "base/quote.h"

namespace mi::net {
namespace {

constexpr std::string_view kDefaultSuites = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr std::string_view kSessionContext = "metric-index";
constexpr long kTicketSeconds = 3600;  // the client's certificate is not verified again for so long

// Go's names of the suites that it calls secure, and OpenSSL's. TLS 1.3 always offers its three.
constexpr std::string_view kTls13 = "";
constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kSuites = {{
    {"TLS_AES_128_GCM_SHA256", kTls13},
    {"TLS_AES_256_GCM_SHA384", kTls13},
    {"TLS_CHACHA20_POLY1305_SHA256", kTls13},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"},  // older names of the two
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA"},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"},
    {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"},
}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kCurves = {
    {{"CurveP256", "P-256"}, {"CurveP384", "P-384"}, {"CurveP521", "P-521"}, {"X25519", "X25519"}}};

template <auto free>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    free(object);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using GeneralNames = std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>>;

Bio Read(std::string_view text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::string LastError() {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason == nullptr ? "unknown error" : reason;
}

// Called for a key that is encrypted: nobody is there to type its password.
int NoPassword(char*, int, int, void*) { return 0; }

Status Invalid(std::string_view key, std::string_view what) {
  return Fail(Errc::kInvalid, format("tls_server_config.{}{}", key, what));
}

int ProtocolOf(TlsVersion version) { return version == TlsVersion::kTls12 ? TLS1_2_VERSION : TLS1_3_VERSION; }

// A client's list of protocols is a sequence of names, each with its length in front.
int ChooseProtocol(SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                   unsigned offered_length, void*) {
  static constexpr std::array<unsigned char, 9> kHttp11 = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, length, kHttp11.data(), kHttp11.size(), offered, offered_length) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301, 3.2
  }
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

std::string TextOf(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), static_cast<size_t>(ASN1_STRING_length(text))};
}

std::string SubjectOf(const X509* certificate) {
  const Bio out(BIO_new(BIO_s_mem()));
  constexpr unsigned long kForm = XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB);
  if (X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, kForm) < 0) return {};
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<size_t>(size)};
}

std::string SanOf(const GENERAL_NAME& name) {
  switch (name.type) {
    case GEN_DNS: return TextOf(name.d.dNSName);
    case GEN_EMAIL: return TextOf(name.d.rfc822Name);
    case GEN_URI: return TextOf(name.d.uniformResourceIdentifier);
    case GEN_IPADD: {
      std::array<char, INET6_ADDRSTRLEN> text{};
      const int size = ASN1_STRING_length(name.d.iPAddress);
      if (size != 4 && size != 16) return {};
      inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(name.d.iPAddress), text.data(), text.size());
      return text.data();
    }
    default: return {};
  }
}

std::vector<std::string> SansOf(const X509* certificate) {
  const GeneralNames sans(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> names;
  for (int i = 0; i < sk_GENERAL_NAME_num(sans.get()); ++i) {
    names.push_back(SanOf(*sk_GENERAL_NAME_value(sans.get(), i)));
  }
  return names;
}

}  // namespace

void TlsContext::Free::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

TlsContext::TlsContext(const TlsOptions& options)
    : context_(SSL_CTX_new(TLS_server_method())),
      verifies_clients_(options.client_auth == ClientAuth::kVerifyClientCertIfGiven ||
                        options.client_auth == ClientAuth::kRequireAndVerifyClientCert),
      allowed_sans_(options.client_allowed_sans) {
  if (!context_) throw std::bad_alloc();
}

// Two modes that OpenSSL does not have by default let a blocked write be repeated from another buffer, which is where
// the output queue keeps the same bytes. Buffers are released while a connection is idle. Reading ahead takes a record
// with one system call instead of two.
Result<std::shared_ptr<const TlsContext>> TlsContext::Create(const TlsOptions& options) {
  ERR_clear_error();
  const std::shared_ptr<TlsContext> made(new TlsContext(options));
  SSL_CTX* const context = made->get();
  SSL_CTX_set_min_proto_version(context, ProtocolOf(options.min_version));
  SSL_CTX_set_max_proto_version(context, ProtocolOf(options.max_version));
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF |
                                   (options.prefer_server_cipher_suites ? SSL_OP_CIPHER_SERVER_PREFERENCE : 0));
  SSL_CTX_set_mode(context,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);
  // Tickets hold the sessions, so nothing is kept here for clients that may come again.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>(kSessionContext.data()),
                                 kSessionContext.size());
  SSL_CTX_set_timeout(context, kTicketSeconds);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_alpn_select_cb(context, &ChooseProtocol, nullptr);
  TRY(made->UseCertificate(options));
  TRY(made->UseSuites(options));
  TRY(made->UseCurves(options.curve_preferences));
  if (options.client_auth != ClientAuth::kNoClientCert) TRY(made->UseClientCa(options.client_ca));
  made->AskForCertificates(options.client_auth);
  return made;
}

Status TlsContext::UseCertificate(const TlsOptions& options) {
  const Bio certificates = Read(options.certificate);
  const Certificate own(PEM_read_bio_X509_AUX(certificates.get(), nullptr, &NoPassword, nullptr));
  if (!own) return Invalid("cert", " is not a certificate in PEM form");
  if (SSL_CTX_use_certificate(get(), own.get()) != 1)
    return Invalid("cert", format(" cannot be used: {}", LastError()));
  while (X509* const next = PEM_read_bio_X509(certificates.get(), nullptr, &NoPassword, nullptr)) {
    SSL_CTX_add0_chain_cert(get(), next);  // takes it
  }
  ERR_clear_error();  // the end of the text

  const Bio text = Read(options.key);
  const Key key(PEM_read_bio_PrivateKey(text.get(), nullptr, &NoPassword, nullptr));
  if (!key) return Invalid("key", " is not a private key in PEM form, or it is encrypted");
  if (SSL_CTX_use_PrivateKey(get(), key.get()) != 1 || SSL_CTX_check_private_key(get()) != 1) {
    return Invalid("key", format(" does not belong to the certificate: {}", LastError()));
  }
  tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(own.get()), &end) == 1) not_after_ = timegm(&end);
  return {};
}

Status TlsContext::UseClientCa(const std::string& pem) {
  if (pem.empty()) {
    SSL_CTX_set_default_verify_paths(get());
    return {};
  }
  const Bio text = Read(pem);
  bool any = false;
  while (const Certificate authority{PEM_read_bio_X509(text.get(), nullptr, &NoPassword, nullptr)}) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(get()), authority.get());
    SSL_CTX_add_client_CA(get(), authority.get());  // clients choose their certificate by these names
    any = true;
  }
  ERR_clear_error();
  return any ? Status() : Invalid("client_ca", " holds no certificate in PEM form");
}

// A list that names only suites of TLS 1.3 leaves none for TLS 1.2.
Status TlsContext::UseSuites(const TlsOptions& options) {
  std::string suites;
  for (const std::string& name : options.cipher_suites) {
    const auto* const known = std::ranges::find(kSuites, name, &std::pair<std::string_view, std::string_view>::first);
    if (known == kSuites.end()) {
      return Invalid("cipher_suites", format(": {} is unknown, or too weak to be offered", Quoted(name)));
    }
    if (known->second != kTls13) suites.append(suites.empty() ? "" : ":").append(known->second);
  }
  if (suites.empty() && !options.cipher_suites.empty()) {
    if (options.max_version == TlsVersion::kTls12) return Invalid("cipher_suites", " has none for TLS12");
    SSL_CTX_set_min_proto_version(get(), TLS1_3_VERSION);
  }
  if (suites.empty()) suites = kDefaultSuites;
  if (SSL_CTX_set_cipher_list(get(), suites.c_str()) != 1) {
    return Invalid("cipher_suites", format(" cannot be used: {}", LastError()));
  }
  return {};
}

Status TlsContext::UseCurves(const std::vector<std::string>& curves) {
  std::string groups;
  for (const std::string& name : curves) {
    const auto* const known = std::ranges::find(kCurves, name, &std::pair<std::string_view, std::string_view>::first);
    if (known == kCurves.end()) {
      return Invalid("curve_preferences",
                     format(": {} is unknown; it wants CurveP256, CurveP384, CurveP521 or X25519", Quoted(name)));
    }
    groups.append(groups.empty() ? "" : ":").append(known->second);
  }
  if (!groups.empty() && SSL_CTX_set1_groups_list(get(), groups.c_str()) != 1) {
    return Invalid("curve_preferences", format(" cannot be used: {}", LastError()));
  }
  return {};
}

void TlsContext::AskForCertificates(ClientAuth client_auth) {
  switch (client_auth) {
    case ClientAuth::kNoClientCert: return SSL_CTX_set_verify(get(), SSL_VERIFY_NONE, nullptr);
    case ClientAuth::kRequestClientCert:
    case ClientAuth::kVerifyClientCertIfGiven: SSL_CTX_set_verify(get(), SSL_VERIFY_PEER, nullptr); break;
    case ClientAuth::kRequireAnyClientCert:
    case ClientAuth::kRequireAndVerifyClientCert:
      SSL_CTX_set_verify(get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
      break;
  }
  SSL_CTX_set_cert_verify_callback(get(), &VerifyClient, this);
}

// Called for a certificate that a client shows. Returns 1 to accept it.
int TlsContext::VerifyClient(x509_store_ctx_st* store, void* self) {
  const auto& context = *static_cast<const TlsContext*>(self);
  if (context.verifies_clients_ && X509_verify_cert(store) != 1) return 0;
  if (context.allowed_sans_.empty()) return 1;
  const bool is_allowed = std::ranges::any_of(SansOf(X509_STORE_CTX_get0_cert(store)), [&](const std::string& name) {
    return std::ranges::find(context.allowed_sans_, name) != context.allowed_sans_.end();
  });
  if (!is_allowed) X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
  return is_allowed ? 1 : 0;
}

std::vector<std::string> NamesOf(const x509_st* certificate) {
  std::vector<std::string> names = SansOf(certificate);
  names.insert(names.begin(), SubjectOf(certificate));
  std::erase(names, "");
  return names;
}

}  // namespace mi::net
