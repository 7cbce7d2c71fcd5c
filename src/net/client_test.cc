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
  const auto reads = [](std::string_view text, std::string_view origin, std::string_view target) {
    const Result<Url> url = Url::Parse(text);
    ASSERT_TRUE(url.has_value()) << text;
    EXPECT_EQ(url->origin, origin) << text;
    EXPECT_EQ(url->target, target) << text;
  };
  reads("http://localhost:7001/api/v1/write", "http://localhost:7001", "/api/v1/write");
  reads("http://h", "http://h", "/");
  reads("http://h?a=b#c", "http://h", "/?a=b");
  reads("http://[::1]:7001", "http://[::1]:7001", "/");
  reads("http://[::1]", "http://[::1]", "/");
  reads("https://h/x", "https://h", "/x");
  reads("https://h:8443", "https://h:8443", "/");
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
      if (end == std::string::npos || received.size() < end + 4 + std::stoul(received.substr(length + 16, 20)))
        continue;
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

  // Asks twice over one connection, and trusts only `ca_file`, or the system's authorities if it is empty.
  Result<ClientResponse> Ask(const std::string& host, const std::string& ca_file, std::string_view body) {
    if (!ca_file.empty()) setenv("SSL_CERT_FILE", ca_file.c_str(), 1);
    Client client({.timeout = kPatience, .max_answer_bytes = 10 << 20});
    unsetenv("SSL_CERT_FILE");
    const std::string url = format("https://{}:{}/", host, echo_.port());
    TRY(client.Post(url, {}, body));
    return client.Post(url, {}, body);
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
  EXPECT_THAT(answer.error().message(), HasSubstr("no alternative certificate subject name matches"));
}

TEST_F(TlsClientTest, NamesTheFileOfAuthoritiesThatItCannotRead) {
  const Result<ClientResponse> answer = Ask("localhost", "/nowhere.pem", "");
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message(), HasSubstr("/nowhere.pem"));
}

class ClientTest : public ServerTest {
 protected:
  std::string UrlOf(std::string_view path) { return format("http://127.0.0.1:{}{}", server_->port(), path); }
};

// Whoever the answer comes from: it must not fill the memory.
TEST_F(ClientTest, TheClientTakesOnlySoMuchOfAnAnswer) {
  Serve("/long", [](const Request&, Reply reply) { reply({.body = std::string((1 << 20) + 1, 'x')}); });
  Serve("/longer", [](const Request&, Reply reply) {
    Response response;
    response.next_chunk = [](std::string& chunk) { chunk.assign(100'000, 'x'); };
    reply(std::move(response));
  });
  Serve("/fits", [](const Request&, Reply reply) { reply({.body = std::string(1 << 20, 'x')}); });
  Start();
  Client client(ClientOptions{});
  for (const std::string_view path : {"/long", "/longer"}) {
    const Result<ClientResponse> answer = client.Get(UrlOf(path), {});
    ASSERT_FALSE(answer.has_value()) << path;
    EXPECT_EQ(answer.error().code(), Errc::kUnavailable);
    EXPECT_THAT(answer.error().message(), HasSubstr("limit 1 MiB"));
  }
  const Result<ClientResponse> answer = client.Get(UrlOf("/fits"), {});
  ASSERT_TRUE(answer.has_value()) << answer.error().message();
  EXPECT_EQ(answer->body.size(), 1 << 20);
}

TEST_F(ClientTest, CancellingEndsARequestThatWaits) {
  Start();
  Client client({.timeout = kPatience});
  std::optional<Parked> parked;  // not answered before the end
  std::thread cancel([&] {
    parked = NextParked();
    client.Cancel();
  });
  EXPECT_FALSE(client.Get(UrlOf("/park/1"), {}));
  EXPECT_FALSE(client.Get(UrlOf("/echo"), {})) << "and all that follow";
  cancel.join();
}

TEST_F(ClientTest, SendsNoHeaderOfItsOwnAndWaitsForNo100) {
  std::vector<std::string> names;
  Serve("/headers", [&](const Request& request, Reply reply) {
    request.ForEachHeader([&](std::string_view name, std::string_view) { names.emplace_back(name); });
    reply({.body = std::string(request.method())});
  });
  Start();
  Client client({.timeout = kPatience});
  const auto begun = std::chrono::steady_clock::now();
  const Result<ClientResponse> answer = client.Post(UrlOf("/headers"), {{"X-Mine", ""}}, std::string(1 << 20, 'x'));
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->body, "POST");
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("Host", "Content-Length", "X-Mine"));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(900)) << "100 Continue is awaited 1 s";
}

TEST_F(ClientTest, KeepsItsConnectionAndSurvivesItsLoss) {
  Start();
  Client client({.timeout = kPatience});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(client.Post(UrlOf("/echo"), {}, "x"));
  EXPECT_EQ(server_->stats().open_connections, 1U);
  const std::string address = format("127.0.0.1:{}", server_->port());
  server_.reset();
  options_.listen = address;
  Start();
  EXPECT_TRUE(client.Post(UrlOf("/echo"), {}, "x")) << "the old connection is closed: again, over a new one";
}

TEST_F(ClientTest, ConnectsAgainWhenTheServerHasClosed) {
  options_.idle_timeout = std::chrono::milliseconds(20);
  Start();
  Client client({.timeout = kPatience});
  for (int i = 0; i < 3; ++i) {
    const Result<ClientResponse> answer = client.Post(UrlOf("/echo"), {}, "x");
    ASSERT_TRUE(answer.has_value()) << answer.error().message();
    EXPECT_EQ(answer->body, "x");
    Await([](const Server::Stats& stats) { return stats.open_connections == 0; });
  }
}

TEST_F(ClientTest, SaysWhoDidNotAnswer) {
  Start();
  const std::string url = UrlOf("/");
  server_.reset();
  Client client({.timeout = kPatience});
  const Result<ClientResponse> answer = client.Get(url, {});
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code(), Errc::kUnavailable);
  EXPECT_THAT(answer.error().message(), HasSubstr("127.0.0.1 port"));
}

TEST_F(ClientTest, GivesUpInTime) {
  Start();
  Client client({.timeout = std::chrono::milliseconds(50)});
  const Result<ClientResponse> late = client.Get(UrlOf("/park/1"), {});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), Errc::kUnavailable);
  EXPECT_THAT(late.error().message(), HasSubstr("timed out"));
}

// Sends what a test says to whoever connects, once.
TEST(Client, DoesNotTakeAnInterimAnswerForTheFinalOne) {
  Listeners listeners = *Listen("127.0.0.1:0", 1);
  std::thread server([&] {
    pollfd wait{.fd = listeners.sockets[0].get(), .events = POLLIN, .revents = 0};
    poll(&wait, 1, -1);
    Peer peer(FileDescriptor(accept(listeners.sockets[0].get(), nullptr, nullptr)));
    peer.Receive();
    peer.Send(
        "HTTP/1.1 103 Early Hints\r\nRetry-After: 1\r\n\r\nHTTP/1.1 503 Busy\r\nRetry-After: 7\r\n"
        "Content-Length: 2\r\n\r\nno");
  });
  Client client({.timeout = kPatience});
  const Result<ClientResponse> answer = client.Get(format("http://127.0.0.1:{}/", listeners.port), {});
  server.join();
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->status, 503);
  EXPECT_EQ(answer->retry_after, std::chrono::seconds(7));
  EXPECT_EQ(answer->body, "no");
}

TEST(RetryAfter, IsSecondsOrADate) {
  EXPECT_EQ(ParseRetryAfter("7", 0), std::chrono::seconds(7));
  EXPECT_EQ(ParseRetryAfter("0", 0), std::chrono::seconds(0));
  EXPECT_EQ(ParseRetryAfter("-3", 0), std::chrono::seconds(0));
  EXPECT_EQ(ParseRetryAfter("99999999999", 0), std::chrono::seconds(300));
  EXPECT_EQ(ParseRetryAfter("Sun, 06 Nov 1994 08:49:37 GMT", 784111770), std::chrono::seconds(7));
  EXPECT_EQ(ParseRetryAfter("Sun, 06 Nov 1994 08:49:37 GMT", 784111800), std::chrono::seconds(0));
  for (const char* text : {"", "soon", "7 s", "Sun, 06 Nov 1994"}) EXPECT_EQ(ParseRetryAfter(text, 0), std::nullopt);
}

}  // namespace
}  // namespace mi::net
