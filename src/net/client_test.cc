#include "net/client.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>

#include "base/format.h"
#include "net/testing/server_fixture.h"

namespace mi::net {
namespace {

using ::testing::HasSubstr;

TEST(Url, ReadsItsParts) {
  const auto reads = [](std::string_view text, std::string_view host, std::string_view port, std::string_view target) {
    const Result<Url> url = Url::Parse(text);
    ASSERT_TRUE(url.has_value()) << text;
    EXPECT_EQ(url->host, host) << text;
    EXPECT_EQ(url->port, port) << text;
    EXPECT_EQ(url->target, target) << text;
  };
  reads("http://localhost:7001/api/v1/write", "localhost", "7001", "/api/v1/write");
  reads("http://h", "h", "80", "/");
  reads("http://h?a=b#c", "h", "80", "/?a=b");
  reads("http://[::1]:7001", "::1", "7001", "/");
  reads("http://[::1]", "::1", "80", "/");
  reads("https://h/x", "h", "443", "/x");
  reads("https://h:8443", "h", "8443", "/");
  EXPECT_TRUE(Url::Parse("https://h")->tls);
  EXPECT_FALSE(Url::Parse("http://h")->tls);
}

TEST(Url, RefusesWhatIsNotHttp) {
  for (const std::string_view text : {"", "localhost:7001", "ftp://h", "https:/h", "http://", "http://:80",
                                      "http://h:", "http://h:x", "http://h:70000", "http://me:secret@h/"}) {
    EXPECT_FALSE(Url::Parse(text).has_value()) << text;
  }
}

TEST(Url, RepeatsNothingOfWhatItRefuses) {
  for (const std::string_view text : {"http://me:hunter2@h/", "ftp://hunter2", "http://h:70000/w?token=hunter2"}) {
    EXPECT_THAT(Url::Parse(text).error().message(), ::testing::Not(HasSubstr("hunter2")));
  }
}

// A certificate for "localhost" that signs itself, and its key.
class SelfSigned {
 public:
  SelfSigned() : key_(EVP_RSA_gen(2048)), certificate_(X509_new()) {
    X509_set_version(certificate_, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate_), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate_), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate_), 3600);
    X509_set_pubkey(certificate_, key_);
    X509_NAME* name = X509_get_subject_name(certificate_);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
    X509_set_issuer_name(certificate_, name);
    X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:localhost");
    X509_add_ext(certificate_, names, -1);
    X509_EXTENSION_free(names);
    X509_sign(certificate_, key_, EVP_sha256());
  }
  ~SelfSigned() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  SelfSigned(const SelfSigned&) = delete;
  SelfSigned& operator=(const SelfSigned&) = delete;

  EVP_PKEY* key() const { return key_; }
  X509* certificate() const { return certificate_; }
  void Save(const std::string& path) const {
    FILE* file = std::fopen(path.c_str(), "w");
    PEM_write_X509(file, certificate_);
    std::fclose(file);
  }

 private:
  EVP_PKEY* key_;
  X509* certificate_;
};

// Answers every request of one connection after the other with what it read of its body.
class TlsEcho {
 public:
  explicit TlsEcho(const SelfSigned& identity) : context_(SSL_CTX_new(TLS_server_method())) {
    std::signal(SIGPIPE, SIG_IGN);
    SSL_CTX_use_certificate(context_, identity.certificate());
    SSL_CTX_use_PrivateKey(context_, identity.key());
    listeners_ = *Listen("127.0.0.1:0", 1);
    thread_ = std::thread([this] { Run(); });
  }
  ~TlsEcho() {
    shutdown(listeners_.sockets[0].get(), SHUT_RDWR);
    thread_.join();
    SSL_CTX_free(context_);
  }
  TlsEcho(const TlsEcho&) = delete;
  TlsEcho& operator=(const TlsEcho&) = delete;
  std::string port() const { return format("{}", listeners_.port); }

 private:
  void Run() {
    for (;;) {
      pollfd wait{.fd = listeners_.sockets[0].get(), .events = POLLIN, .revents = 0};
      poll(&wait, 1, -1);
      const FileDescriptor peer(accept(listeners_.sockets[0].get(), nullptr, nullptr));
      if (peer.get() < 0) return;
      SSL* ssl = SSL_new(context_);
      SSL_set_fd(ssl, peer.get());
      if (SSL_accept(ssl) == 1) Serve(ssl);
      SSL_free(ssl);
    }
  }
  static void Serve(SSL* ssl) {
    std::string received;
    char bytes[4096];
    for (int got = 0; (got = SSL_read(ssl, bytes, sizeof bytes)) > 0;) {
      received.append(bytes, static_cast<size_t>(got));
      const size_t end = received.find("\r\n\r\n");
      const size_t length = received.find("Content-Length: ");
      if (end == std::string::npos || received.size() < end + 4 + std::stoul(received.substr(length + 16))) continue;
      const std::string body = received.substr(end + 4);
      const std::string answer = format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
      SSL_write(ssl, answer.data(), static_cast<int>(answer.size()));
      received.clear();
    }
  }

  SSL_CTX* const context_;
  Listeners listeners_;
  std::thread thread_;
};

class TlsClientTest : public ::testing::Test {
 protected:
  TlsClientTest() {
    path_ = (std::filesystem::temp_directory_path() / format("mi-client-{}-{}.pem", getpid(), echo_.port())).string();
    identity_.Save(path_);
  }
  ~TlsClientTest() override { std::filesystem::remove(path_); }

  Result<ClientResponse> Ask(const std::string& host, const std::string& ca_file, std::string_view body) {
    const auto tls = TlsContext::Create(ca_file);
    EXPECT_TRUE(tls.has_value());
    const auto client =
        Client::Create({.to = {host, echo_.port(), *tls}, .timeout = kPatience, .max_answer_bytes = 10 << 20});
    Result<ClientResponse> first = client->Send("POST", "/", {}, body);
    return first ? client->Send("POST", "/", {}, body) : std::move(first);
  }

  SelfSigned identity_;
  TlsEcho echo_{identity_};
  std::string path_;
};

TEST_F(TlsClientTest, SpeaksWithWhomItTrusts) {
  const std::string body(3'000'000, 'x');
  const Result<ClientResponse> answer = Ask("localhost", path_, body);
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, body);
}

TEST_F(TlsClientTest, RefusesWhomItDoesNotTrust) {
  const Result<ClientResponse> answer = Ask("localhost", "", "");
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message(), HasSubstr("self-signed"));
}

TEST_F(TlsClientTest, RefusesACertificateOfAnotherHost) {
  const Result<ClientResponse> answer = Ask("127.0.0.1", path_, "");
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message(), HasSubstr("mismatch"));
}

TEST_F(TlsClientTest, SaysWhereThereAreNoAuthorities) {
  const auto tls = TlsContext::Create("/nowhere.pem");
  ASSERT_FALSE(tls);
  EXPECT_THAT(tls.error().message(), HasSubstr("/nowhere.pem"));
}

// Whoever the answer comes from: it must not fill the memory.
TEST_F(ServerTest, TheClientTakesOnlySoMuchOfAnAnswer) {
  Serve("/long", [](const Request&, Reply reply) { reply({.body = std::string((1 << 20) + 1, 'x')}); });
  Serve("/longer", [](const Request&, Reply reply) {
    Response response;
    response.next_chunk = [](std::string& chunk) { chunk.assign(100'000, 'x'); };
    reply(std::move(response));
  });
  Serve("/fits", [](const Request&, Reply reply) { reply({.body = std::string(1 << 20, 'x')}); });
  Start();
  const auto client = Client::Create({.to = {"127.0.0.1", std::to_string(server_->port()), nullptr}});
  for (const std::string_view path : {"/long", "/longer"}) {
    const Result<ClientResponse> answer = client->Send("GET", path, {}, "");
    ASSERT_FALSE(answer.has_value()) << path;
    EXPECT_EQ(answer.error().code(), Errc::kUnavailable);
    EXPECT_THAT(answer.error().message(), HasSubstr("limit 1 MiB"));
  }
  const Result<ClientResponse> answer = client->Send("GET", "/fits", {}, "");
  ASSERT_TRUE(answer.has_value()) << answer.error().message();
  EXPECT_EQ(answer->body.size(), 1 << 20);
}

TEST_F(ServerTest, CancellingEndsARequestThatWaits) {
  Start();
  const auto client = Client::Create("127.0.0.1", std::to_string(server_->port()), kPatience);
  std::thread cancel([&] {
    const Parked parked = NextParked();
    client->Cancel();
  });
  EXPECT_FALSE(client->Send("GET", "/park/1", {}, ""));
  EXPECT_FALSE(client->Send("GET", "/echo", {}, "")) << "and all that follow";
  cancel.join();
}

}  // namespace
}  // namespace mi::net
