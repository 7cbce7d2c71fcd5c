// The server with TLS, seen by its clients.
#include <csignal>

#include "base/format.h"
#include "net/testing/tls_peer.h"

namespace mi::net {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TlsServerTest : public ServerTest {
 protected:
  TlsServerTest() {
    std::signal(SIGPIPE, SIG_IGN);  // as the process does
    Serve("/names", [](const Request& request, Reply reply) {
      std::string body;
      for (const std::string& name : request.certificate_names()) body += name + "\n";
      reply({.body = std::move(body)});
    });
    Serve(
        "/large", [](const Request& request, Reply reply) { reply({.body = std::string(request.body())}); },
        [](const Request&) { return HeadDecision{.max_body_bytes = 64 << 20}; });
  }

  void Use(const TlsOptions& options) {
    Result<std::shared_ptr<const TlsContext>> context = TlsContext::Create(options);
    ASSERT_TRUE(context.has_value()) << context.error().message();
    server_->SetTls(*std::move(context));
  }
  void StartTls() { StartTls(options()); }
  void StartTls(const TlsOptions& options) {
    Start();
    Use(options);
  }
  TlsOptions options() const { return {.certificate = own_.certificate, .key = own_.key}; }
  // … that asks clients for certificates of authority_.
  TlsOptions options(ClientAuth client_auth) const {
    TlsOptions made = options();
    made.client_auth = client_auth;
    made.client_ca = authority_.certificate;
    return made;
  }
  uint16_t port() const { return server_->port(); }

  // "200", or how it failed.
  std::string Ask(TlsPeer& peer, std::string_view target = "/names") {
    if (!peer.Shake() || !peer.Send(Get(target))) return "no handshake";
    const Answer answer = peer.Read();
    return answer.status == 0 ? "cut" : std::to_string(answer.status);
  }

  const TestCertificate own_ = MakeCertificate({});
  const TestCertificate authority_ = MakeCertificate({.common_name = "authority", .sans = "", .is_authority = true});
  const TestCertificate agent_ =
      MakeCertificate({.common_name = "agent",
                       .organization = "acme",
                       .sans = "DNS:agent.eu,email:a@eu,IP:10.0.0.7,IP:::1,URI:spiffe://eu/agent"},
                      &authority_);
  const TestCertificate stranger_ = MakeCertificate({.common_name = "stranger", .sans = "DNS:agent.eu"});
};

TEST_F(TlsServerTest, AnswersRequestsInOrder) {
  StartTls();
  TlsPeer peer(port());
  ASSERT_TRUE(peer.Shake());
  EXPECT_EQ(peer.version(), "TLSv1.3");
  ASSERT_TRUE(peer.Send(Post("/echo", "one") + Post("/echo", "two")));
  EXPECT_EQ(peer.Read().body, "one");
  EXPECT_EQ(peer.Read().body, "two");
  Await([](const Server::Stats& stats) { return stats.tls_handshakes == 1 && stats.tls_failures == 0; });
}

TEST_F(TlsServerTest, CarriesBodiesAndAnswersOfManyRecords) {
  StartTls();
  TlsPeer peer(port());
  ASSERT_TRUE(peer.Shake());
  std::string body;
  for (int i = 0; body.size() < 9'000'000; ++i) body += std::to_string(i) + " ";
  // The answer waits until the peer reads it, so the server is blocked in both directions.
  ASSERT_TRUE(peer.Send(Post("/large", body) + Get("/names")));
  EXPECT_EQ(peer.Read().body, body);
  EXPECT_EQ(peer.Read().status, 200);
}

TEST_F(TlsServerTest, TakesAHandshakeAndARequestInSinglePieces) {
  StartTls();
  // Each byte in a segment of its own: a proxy between the peer and the server.
  TlsPeer peer(port());
  BIO* inner = nullptr;
  BIO* network = nullptr;
  BIO_new_bio_pair(&inner, 0, &network, 0);
  SSL_set_bio(peer.get(), inner, inner);
  SSL_set_connect_state(peer.get());
  const auto pump = [&] {
    char bytes[65536];
    for (int got; (got = BIO_read(network, bytes, sizeof bytes)) > 0;) {
      for (int i = 0; i < got; ++i) ASSERT_EQ(send(peer.fd(), bytes + i, 1, MSG_NOSIGNAL), 1);
    }
  };
  const auto receive = [&] {
    char bytes[65536];
    const ssize_t got = recv(peer.fd(), bytes, sizeof bytes, 0);
    ASSERT_GT(got, 0);
    BIO_write(network, bytes, static_cast<int>(got));
  };
  while (SSL_do_handshake(peer.get()) != 1) {
    pump();
    receive();
  }
  const std::string request = Post("/echo", "in pieces");
  ASSERT_EQ(SSL_write(peer.get(), request.data(), static_cast<int>(request.size())), static_cast<int>(request.size()));
  pump();
  std::string answer;
  while (!answer.ends_with("in pieces")) {
    char bytes[4096];
    const int got = SSL_read(peer.get(), bytes, sizeof bytes);
    got > 0 ? void(answer.append(bytes, static_cast<size_t>(got))) : receive();
  }
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 200"));
  BIO_free(network);
}

// More requests than a connection takes at once: the rest waits inside OpenSSL, where no event of the socket tells of
// it.
TEST_F(TlsServerTest, GoesOnWithRequestsThatWaitInsideOpenSsl) {
  StartTls();
  TlsPeer peer(port());
  ASSERT_TRUE(peer.Shake());
  constexpr int kRequests = 300;
  std::string requests;
  for (int i = 0; i < kRequests; ++i) requests += Get(format("/park/{}", i));
  ASSERT_TRUE(peer.Send(requests));
  for (int i = 0; i < kRequests; ++i) {
    Parked parked = NextParked();
    EXPECT_EQ(parked.path, format("/park/{}", i));
    parked.reply({.body = parked.path});
  }
  for (int i = 0; i < kRequests; ++i) ASSERT_EQ(peer.Read().body, format("/park/{}", i));
}

TEST_F(TlsServerTest, EndsAConnectionProperly) {
  StartTls();
  TlsPeer peer(port());
  ASSERT_TRUE(peer.Shake());
  ASSERT_TRUE(peer.Send(Get("/names", "Connection: close\r\n")));
  EXPECT_EQ(peer.Read().status, 200);
  EXPECT_TRUE(peer.Ended());
  EXPECT_TRUE(peer.was_told_of_the_end());
}

TEST_F(TlsServerTest, AnswersAPeerThatSendsNoMore) {
  StartTls();
  TlsPeer peer(port());
  ASSERT_TRUE(peer.Shake());
  ASSERT_TRUE(peer.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"));
  SSL_shutdown(peer.get());
  const Answer answer = peer.Read();
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("the body ended after 3 bytes"));
}

// ---- versions, suites, protocols

TEST_F(TlsServerTest, RefusesOldVersionsAndWeakSuites) {
  StartTls();
  auto refuses = [&](auto&& prepare) {
    TlsPeer peer(port());
    prepare(peer);
    EXPECT_FALSE(peer.Shake());
  };
  refuses([](TlsPeer& peer) { peer.Speaks(TLS1_VERSION, TLS1_1_VERSION); });
  for (const char* suite : {"AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256"}) {
    refuses([&](TlsPeer& peer) { peer.Speaks(TLS1_2_VERSION, TLS1_2_VERSION).Offers(suite); });
  }
  Await([](const Server::Stats& stats) { return stats.tls_failures == 5; });
  TlsPeer peer(port());
  peer.Speaks(TLS1_2_VERSION, TLS1_2_VERSION);
  EXPECT_EQ(Ask(peer), "200");
  EXPECT_EQ(peer.version(), "TLSv1.2");
}

TEST_F(TlsServerTest, SpeaksTheVersionsThatAreConfigured) {
  StartTls();
  auto f = [&](TlsVersion min, TlsVersion max, int client, bool accepts) {
    TlsOptions made = options();
    made.min_version = min;
    made.max_version = max;
    Use(made);
    TlsPeer peer(port());
    EXPECT_EQ(peer.Speaks(client, client).Shake(), accepts) << client;
  };
  f(TlsVersion::kTls13, TlsVersion::kTls13, TLS1_2_VERSION, false);
  f(TlsVersion::kTls13, TlsVersion::kTls13, TLS1_3_VERSION, true);
  f(TlsVersion::kTls12, TlsVersion::kTls12, TLS1_3_VERSION, false);
  f(TlsVersion::kTls12, TlsVersion::kTls12, TLS1_2_VERSION, true);
}

TEST_F(TlsServerTest, OffersTheSuitesAndCurvesThatAreConfigured) {
  TlsOptions made = options();
  made.cipher_suites = {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"};
  made.curve_preferences = {"CurveP384"};
  StartTls(made);
  TlsPeer peer(port());
  peer.Speaks(TLS1_2_VERSION, TLS1_2_VERSION).Offers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384");
  EXPECT_TRUE(peer.Shake());
  EXPECT_EQ(peer.suite(), "ECDHE-ECDSA-AES256-GCM-SHA384") << "the server's order counts";
  TlsPeer other(port());
  EXPECT_FALSE(other.OffersCurves("X25519:P-256").Shake());

  made.prefer_server_cipher_suites = false;
  Use(made);
  TlsPeer choosy(port());
  choosy.Speaks(TLS1_2_VERSION, TLS1_2_VERSION).Offers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384");
  EXPECT_TRUE(choosy.Shake());
  EXPECT_EQ(choosy.suite(), "ECDHE-ECDSA-AES128-GCM-SHA256");
}

TEST_F(TlsServerTest, ChoosesHttp11) {
  StartTls();
  TlsPeer peer(port());
  EXPECT_TRUE(peer.OffersProtocol("http/1.1").Shake());
  EXPECT_EQ(peer.protocol(), "http/1.1");
  TlsPeer other(port());
  EXPECT_FALSE(other.OffersProtocol("h2").Shake());
}

TEST_F(TlsServerTest, TellsWhoSpeaksPlainHttp) {
  StartTls();
  Peer peer = Connect();
  ASSERT_TRUE(peer.Send(Get("/names")));
  const Answer answer = peer.Read();
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("https://"));
}

TEST_F(TlsServerTest, NeverRenegotiates) {
  StartTls();
  TlsPeer peer(port());
  ASSERT_TRUE(peer.Speaks(TLS1_2_VERSION, TLS1_2_VERSION).Shake());
  SSL_renegotiate(peer.get());
  EXPECT_FALSE(SSL_do_handshake(peer.get()) == 1 && peer.Send(Get("/names")) && peer.Read().status == 200);
}

// ---- sessions

TEST_F(TlsServerTest, ResumesSessions) {
  StartTls();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsPeer first(port());
    first.Speaks(version, version);
    EXPECT_EQ(Ask(first), "200");
    ASSERT_TRUE(first.has_ticket());
    TlsPeer second(port());
    second.Speaks(version, version).Resumes(first);
    EXPECT_EQ(Ask(second), "200");
    EXPECT_TRUE(second.was_resumed());
  }
}

TEST_F(TlsServerTest, AResumedSessionStillKnowsTheCertificate) {
  StartTls(options(ClientAuth::kRequireAndVerifyClientCert));
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsPeer first(port());
    first.Speaks(version, version).Shows(agent_);
    EXPECT_EQ(Ask(first), "200");
    TlsPeer second(port());
    second.Speaks(version, version).Shows(agent_).Resumes(first);
    ASSERT_TRUE(second.Shake());
    EXPECT_TRUE(second.was_resumed());
    ASSERT_TRUE(second.Send(Get("/names")));
    EXPECT_THAT(second.Read().body, HasSubstr("CN=agent,O=acme\n"));
  }
}

TEST_F(TlsServerTest, TicketsEndWithTheAuthorityThatTheyRestOn) {
  StartTls(options(ClientAuth::kRequireAndVerifyClientCert));
  TlsPeer first(port());
  EXPECT_EQ(Ask(first.Shows(agent_)), "200");
  TlsOptions changed = options(ClientAuth::kRequireAndVerifyClientCert);
  changed.client_ca = stranger_.certificate;
  Use(changed);
  TlsPeer second(port());
  EXPECT_NE(Ask(second.Shows(agent_).Resumes(first)), "200");
}

// ---- reload

TEST_F(TlsServerTest, ANewCertificateIsForNewConnections) {
  StartTls();
  TlsPeer before(port());
  EXPECT_EQ(Ask(before), "200");
  const TestCertificate next = MakeCertificate({.common_name = "next"});
  Use({.certificate = next.certificate, .key = next.key});
  TlsPeer after(port());
  EXPECT_EQ(Ask(after), "200");
  EXPECT_EQ(after.server_name(), "CN=next");
  EXPECT_EQ(before.server_name(), "CN=localhost");
  ASSERT_TRUE(before.Send(Get("/names")));
  EXPECT_EQ(before.Read().status, 200) << "the connection of the old certificate goes on";
  server_->SetTls(nullptr);
  Peer plain = Connect();
  ASSERT_TRUE(plain.Send(Get("/names")));
  EXPECT_EQ(plain.Read().status, 200);
}

// ---- certificates of clients

TEST_F(TlsServerTest, AsksForCertificatesAsConfigured) {
  const TestCertificate ended =
      MakeCertificate({.common_name = "late", .sans = "DNS:agent.eu", .valid_seconds = -60}, &authority_);
  StartTls();
  struct Case {
    ClientAuth client_auth;
    bool none, stranger, ended, agent;  // who is let in
    bool proves;                        // the agent's names are known
  };
  for (const Case& one : {Case{ClientAuth::kNoClientCert, true, true, true, true, false},
                          Case{ClientAuth::kRequestClientCert, true, true, true, true, false},
                          Case{ClientAuth::kRequireAnyClientCert, false, true, true, true, false},
                          Case{ClientAuth::kVerifyClientCertIfGiven, true, false, false, true, true},
                          Case{ClientAuth::kRequireAndVerifyClientCert, false, false, false, true, true}}) {
    TlsOptions made = options(one.client_auth);
    if (one.client_auth == ClientAuth::kNoClientCert) made.client_ca.clear();
    Use(made);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      const auto lets_in = [&](const TestCertificate* shown) {
        TlsPeer peer(port());
        peer.Speaks(version, version);
        if (shown != nullptr) peer.Shows(*shown);
        return Ask(peer) == "200";
      };
      const int type = static_cast<int>(one.client_auth);
      EXPECT_EQ(lets_in(nullptr), one.none) << type;
      EXPECT_EQ(lets_in(&stranger_), one.stranger) << type;
      EXPECT_EQ(lets_in(&ended), one.ended) << type;
      EXPECT_EQ(lets_in(&agent_), one.agent) << type;
      TlsPeer peer(port());
      ASSERT_TRUE(peer.Speaks(version, version).Shows(agent_).Shake());
      ASSERT_TRUE(peer.Send(Get("/names")));
      EXPECT_EQ(peer.Read().body,
                one.proves ? "CN=agent,O=acme\nagent.eu\na@eu\n10.0.0.7\n::1\nspiffe://eu/agent\n" : "")
          << type;
    }
  }
}

TEST_F(TlsServerTest, LetsInOnlyTheSansThatAreAllowed) {
  StartTls();
  auto f = [&](ClientAuth client_auth, const std::string& san, const TestCertificate& shown, bool accepts) {
    TlsOptions made = options(client_auth);
    made.client_allowed_sans = {"other", san};
    Use(made);
    TlsPeer peer(port());
    EXPECT_EQ(Ask(peer.Shows(shown)) == "200", accepts) << san;
  };
  for (const char* san : {"agent.eu", "a@eu", "10.0.0.7", "::1", "spiffe://eu/agent"}) {
    f(ClientAuth::kRequireAndVerifyClientCert, san, agent_, true);
  }
  f(ClientAuth::kRequireAndVerifyClientCert, "CN=agent,O=acme", agent_, false);  // not a SAN
  f(ClientAuth::kRequireAndVerifyClientCert, "agent", agent_, false);
  f(ClientAuth::kRequireAndVerifyClientCert, "agent.eu", stranger_, false);
  f(ClientAuth::kRequireAnyClientCert, "agent.eu", stranger_, true);
  f(ClientAuth::kRequireAnyClientCert, "agent.us", stranger_, false);
}

// ---- slow and broken peers

TEST_F(TlsServerTest, CutsAHandshakeThatTakesTooLong) {
  options_.read_timeout = std::chrono::milliseconds(50);
  StartTls();
  Peer silent = Connect();
  Peer slow = Connect();
  ASSERT_TRUE(slow.Send("\x16\x03\x01"));
  EXPECT_TRUE(silent.Ended());
  EXPECT_TRUE(slow.Ended());
}

TEST_F(TlsServerTest, AHandshakeGivesWayToNewConnections) {
  options_.max_connections = 1;
  options_.slow_after = std::chrono::milliseconds(0);
  StartTls();
  Peer silent(port(), "127.0.0.2");
  Await([](const Server::Stats& stats) { return stats.open_connections == 1; });
  TlsPeer peer(port());
  EXPECT_EQ(Ask(peer), "200");
  EXPECT_TRUE(silent.Ended());
}

TEST_F(TlsServerTest, OneConnectionTooManyIsClosedWithoutAnAnswer) {
  options_.max_connections = 1;
  StartTls();
  TlsPeer first(port());
  ASSERT_TRUE(first.Shake());
  ASSERT_TRUE(first.Send(Get("/park/1")));
  Parked parked = NextParked();
  TlsPeer second(port());
  EXPECT_FALSE(second.Shake());
  Await([](const Server::Stats& stats) { return stats.rejected_connections == 1; });
  parked.reply({.body = "done"});
  EXPECT_EQ(first.Read().body, "done");
}

TEST_F(TlsServerTest, SurvivesGarbageAndPeersThatVanish) {
  StartTls();
  for (const std::string_view bytes : {std::string_view("\x16\x03\x01\x02\x00garbage garbage"),
                                       std::string_view("\0\0\0\0\0\0", 6), std::string_view("SSH-2.0-x\r\n")}) {
    Peer peer = Connect();
    peer.Send(bytes);
    peer.SayEnd();
    peer.ReadToEnd();
  }
  TlsPeer gone(port());
  ASSERT_TRUE(gone.Shake());
  ASSERT_TRUE(gone.Send(Get("/park/1")));
  Parked parked = NextParked();
  gone.Vanish();
  parked.reply({.body = std::string(1 << 20, 'x')});
  Await([](const Server::Stats& stats) { return stats.open_connections == 0; });
  TlsPeer peer(port());
  EXPECT_EQ(Ask(peer), "200");
}

TEST_F(TlsServerTest, DrainsIdleConnectionsHandshakesAndRequests) {
  StartTls();
  TlsPeer idle(port());
  ASSERT_EQ(Ask(idle), "200");
  Peer silent = Connect();
  TlsPeer busy(port());
  ASSERT_TRUE(busy.Shake());
  ASSERT_TRUE(busy.Send(Get("/park/1")));
  Parked parked = NextParked();
  Await([](const Server::Stats& stats) { return stats.open_connections == 3; });
  std::thread drain([&] { server_->Drain(kPatience); });
  EXPECT_TRUE(idle.Ended());
  EXPECT_TRUE(silent.Ended());
  parked.reply({.body = "done"});
  const Answer answer = busy.Read();
  EXPECT_EQ(answer.body, "done");
  EXPECT_TRUE(answer.Says("Connection: close"));
  EXPECT_TRUE(busy.Ended());
  drain.join();
}

// ---- what cannot be used

TEST(TlsContext, NamesTheKeyOfTheFault) {
  const TestCertificate own = MakeCertificate({});
  const TestCertificate other = MakeCertificate({});
  auto f = [&](auto&& change, std::string_view message) {
    TlsOptions options{.certificate = own.certificate, .key = own.key};
    change(options);
    const auto context = TlsContext::Create(options);
    ASSERT_FALSE(context.has_value()) << message;
    EXPECT_THAT(context.error().message(), HasSubstr(message));
    EXPECT_THAT(context.error().message(), ::testing::Not(HasSubstr("hunter2")));
  };
  f([](TlsOptions& options) { options.certificate = "hunter2"; }, "tls_server_config.cert is not a certificate");
  f([](TlsOptions& options) { options.key = "hunter2"; }, "tls_server_config.key is not a private key");
  f([&](TlsOptions& options) { options.key = other.key; }, "tls_server_config.key does not belong to the certificate");
  f(
      [](TlsOptions& options) {
        options.client_auth = ClientAuth::kRequestClientCert;
        options.client_ca = "x";
      },
      "tls_server_config.client_ca holds no certificate");
  f([](TlsOptions& options) { options.cipher_suites = {"TLS_RSA_WITH_AES_128_GCM_SHA256"}; },
    "tls_server_config.cipher_suites: 'TLS_RSA_WITH_AES_128_GCM_SHA256' is unknown, or too weak");
  f(
      [](TlsOptions& options) {
        options.cipher_suites = {"TLS_AES_128_GCM_SHA256"};
        options.max_version = TlsVersion::kTls12;
      },
      "tls_server_config.cipher_suites has none for TLS12");
  f([](TlsOptions& options) { options.curve_preferences = {"CurveP255"}; },
    "tls_server_config.curve_preferences: 'CurveP255' is unknown");
}

TEST(TlsContext, TakesEverySuiteAndCurveThatGoCallsSecure) {
  const TestCertificate own = MakeCertificate({});
  TlsOptions options{.certificate = own.certificate, .key = own.key};
  options.cipher_suites = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"};
  for (const char* key : {"ECDSA", "RSA"}) {
    for (const char* cipher : {"AES_128_CBC_SHA", "AES_256_CBC_SHA", "AES_128_GCM_SHA256", "AES_256_GCM_SHA384",
                               "CHACHA20_POLY1305_SHA256"}) {
      options.cipher_suites.push_back(format("TLS_ECDHE_{}_WITH_{}", key, cipher));
    }
  }
  options.curve_preferences = {"CurveP256", "CurveP384", "CurveP521", "X25519"};
  EXPECT_TRUE(TlsContext::Create(options).has_value());
}

TEST(TlsContext, KnowsWhenTheCertificateEnds) {
  const TestCertificate own = MakeCertificate({.valid_seconds = 1000});
  const auto context = TlsContext::Create({.certificate = own.certificate, .key = own.key});
  EXPECT_NEAR(static_cast<double>((*context)->not_after()), static_cast<double>(std::time(nullptr) + 1000), 60);
}

}  // namespace
}  // namespace mi::net
