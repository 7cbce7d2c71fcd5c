// TLS of a client's wire; the one unit that names OpenSSL.
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/format.h"
#include "net/wire.h"

namespace mi::net {
namespace {

// The first thing that OpenSSL has against this thread, and nothing left over for the next call.
std::string TakeFault() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "the connection ended";
  std::array<char, 256> text{};
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

struct OpenSslContext final : TlsContext {
  explicit OpenSslContext(SSL_CTX* owned) : context(owned) {}
  ~OpenSslContext() override { SSL_CTX_free(context); }
  OpenSslContext(const OpenSslContext&) = delete;
  OpenSslContext& operator=(const OpenSslContext&) = delete;
  SSL_CTX* const context;
};

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};

bool IsAddress(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 || inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

class TlsWire final : public Wire {
 public:
  TlsWire(WireSocket socket, std::unique_ptr<SSL, FreeSsl> ssl) : socket_(std::move(socket)), ssl_(std::move(ssl)) {}

  Status Greet(Deadline deadline) {
    const Result<int> greeted = Do("greet", deadline, [&] { return SSL_connect(ssl_.get()); });
    if (greeted) return {};
    const long verified = SSL_get_verify_result(ssl_.get());
    if (verified == X509_V_OK) return Fail(greeted.error());
    return socket_.Broken("trust", X509_verify_cert_error_string(verified));
  }

  Status WriteAll(std::string_view head, std::string_view body, Deadline deadline) override {
    for (std::string_view part : {head, body}) {
      while (!part.empty()) {
        const int size = static_cast<int>(std::min<size_t>(part.size(), std::numeric_limits<int>::max()));
        const Result<int> sent = Do("write", deadline, [&] { return SSL_write(ssl_.get(), part.data(), size); });
        if (!sent) return Fail(sent.error());
        part.remove_prefix(static_cast<size_t>(*sent));
      }
    }
    return {};
  }

  Result<size_t> ReadSome(std::span<char> into, Deadline deadline) override {
    const int size = static_cast<int>(std::min<size_t>(into.size(), std::numeric_limits<int>::max()));
    const Result<int> got = Do("read", deadline, [&] { return SSL_read(ssl_.get(), into.data(), size); });
    if (!got) return Fail(got.error());
    return static_cast<size_t>(*got);
  }

 private:
  // Repeats a call that has to wait for the socket. 0: the peer said that it is done.
  template <typename Call>
  Result<int> Do(std::string_view doing, Deadline deadline, Call call) {
    for (;;) {
      ERR_clear_error();
      const int done = call();
      if (done > 0) return done;
      short events = 0;
      switch (SSL_get_error(ssl_.get(), done)) {
        case SSL_ERROR_WANT_READ: events = POLLIN; break;
        case SSL_ERROR_WANT_WRITE: events = POLLOUT; break;
        case SSL_ERROR_ZERO_RETURN: return 0;
        default: return socket_.Broken(doing, TakeFault());
      }
      if (const Status ready = socket_.Await(events, doing, deadline); !ready) return Fail(ready.error());
    }
  }

  const WireSocket socket_;
  const std::unique_ptr<SSL, FreeSsl> ssl_;
};

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::Create(const std::string& ca_file) {
  auto context = std::make_shared<OpenSslContext>(SSL_CTX_new(TLS_client_method()));
  if (context->context == nullptr) return Fail(Errc::kInternal, "TLS: " + TakeFault());
  SSL_CTX_set_min_proto_version(context->context, TLS1_2_VERSION);
  SSL_CTX_set_verify(context->context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(context->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  const int loaded = ca_file.empty() ? SSL_CTX_set_default_verify_paths(context->context)
                                     : SSL_CTX_load_verify_file(context->context, ca_file.c_str());
  if (loaded != 1) return Fail(Errc::kInvalid, format("TLS: no authorities in '{}': {}", ca_file, TakeFault()));
  return context;
}

Result<std::unique_ptr<Wire>> ShakeHands(WireSocket socket, const WireTarget& target, Deadline deadline) {
  std::unique_ptr<SSL, FreeSsl> ssl(SSL_new(static_cast<const OpenSslContext&>(*target.tls).context));
  if (ssl == nullptr) return socket.Broken("greet", TakeFault());
  bool named = SSL_set_fd(ssl.get(), socket.fd()) == 1;
  if (IsAddress(target.host)) {
    named &= X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), target.host.c_str()) == 1;
  } else {
    named &= SSL_set1_host(ssl.get(), target.host.c_str()) == 1;
    named &= SSL_set_tlsext_host_name(ssl.get(), target.host.c_str()) == 1;
  }
  if (!named) return socket.Broken("greet", TakeFault());
  auto wire = std::make_unique<TlsWire>(std::move(socket), std::move(ssl));
  if (const Status greeted = wire->Greet(deadline); !greeted) return Fail(greeted.error());
  return wire;
}

}  // namespace mi::net
