#include "config/web_file.h"

#include "config/testing/test_folder.h"

namespace mi::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

constexpr std::string_view kHash = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";
constexpr std::string_view kDigest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

std::string Upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return upper;
}

class WebFileTest : public TestFolder {
 protected:
  WebFileTest() {
    Write("server.crt", "CERTIFICATE");
    Write("server.key", "KEY");
    Write("ca/clients.crt", "AUTHORITY");
  }
  Result<WebFile> Load(std::string_view text) const { return LoadWebFile(Write("web.yml", text)); }
  // All faults, without the path.
  std::string Faults(std::string_view text) const {
    const Result<WebFile> file = Load(text);
    if (file) return "loaded";
    std::string faults = file.error().message();
    for (size_t at = 0; (at = faults.find(folder_.string() + "/")) != std::string::npos;) {
      faults.erase(at, folder_.string().size() + 1);
    }
    return faults;
  }
  static std::string Tls(std::string_view more) {
    return "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n" + std::string(more);
  }
};

// ---- files as they are used elsewhere

TEST_F(WebFileTest, TakesTheSampleOfExporterToolkit) {
  const auto file =
      Load("# TLS and basic authentication\n" + Tls("") + "\nbasic_auth_users:\n  alice: " + std::string(kHash) +
           "\n  bob: \"" + std::string(kHash) + "\"\n");
  ASSERT_TRUE(file) << file.error().message();
  ASSERT_TRUE(file->tls.has_value());
  EXPECT_EQ(file->tls->certificate, "CERTIFICATE");
  EXPECT_EQ(file->tls->key, "KEY");
  EXPECT_EQ(file->tls->client_auth, net::ClientAuth::kNoClientCert);
  EXPECT_THAT(file->access.users, ElementsAre(Pair("alice", kHash), Pair("bob", kHash)));
  EXPECT_THAT(file->files, ElementsAre(Path("web.yml"), Path("server.crt"), Path("server.key")));
  EXPECT_THAT(file->warnings, IsEmpty());
}

TEST_F(WebFileTest, TakesEveryKeyOfTheFormat) {
  const auto file = Load(R"(
tls_server_config:
  cert: INLINE CERTIFICATE
  key: INLINE KEY
  client_auth_type: "RequireAndVerifyClientCert"
  client_ca_file: ca/clients.crt
  client_allowed_sans: [one, 'test3']
  min_version: TLS13
  max_version: TLS13
  cipher_suites:
    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
  prefer_server_cipher_suites: false
  curve_preferences:
    - CurveP256
    - X25519
http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=31536000; includeSubDomains
    X-Content-Type-Options: nosniff
    X-XSS-Protection: 1
    Content-Security-Policy: "default-src 'self' *.test.example.net"
basic_auth_users:
rate_limit:
  interval: 1s
  burst: 20
)");
  ASSERT_TRUE(file) << file.error().message();
  const net::TlsOptions wanted{.certificate = "INLINE CERTIFICATE",
                               .key = "INLINE KEY",
                               .client_auth = net::ClientAuth::kRequireAndVerifyClientCert,
                               .client_ca = "AUTHORITY",
                               .client_allowed_sans = {"one", "test3"},
                               .min_version = net::TlsVersion::kTls13,
                               .max_version = net::TlsVersion::kTls13,
                               .cipher_suites = {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
                               .curve_preferences = {"CurveP256", "X25519"},
                               .prefer_server_cipher_suites = false};
  EXPECT_EQ(file->tls, wanted);
  // Every answer has X-Content-Type-Options anyway.
  EXPECT_THAT(file->headers, ElementsAre(Pair("X-Frame-Options", "deny"),
                                         Pair("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
                                         Pair("X-XSS-Protection", "1"),
                                         Pair("Content-Security-Policy", "default-src 'self' *.test.example.net")));
  EXPECT_EQ(file->access.request_interval, std::chrono::seconds(1));
  EXPECT_EQ(file->access.request_burst, 20U);
  EXPECT_FALSE(file->access.needs_login());
}

TEST_F(WebFileTest, AnEmptyFileAsksForNothing) {
  for (const char* text : {"", "# nothing\n", "tls_server_config:\nbasic_auth_users:\n", "tls_server_config: {}\n"}) {
    const auto file = Load(text);
    ASSERT_TRUE(file) << text << file.error().message();
    EXPECT_FALSE(file->tls.has_value()) << text;
    EXPECT_FALSE(file->access.needs_login()) << text;
  }
}

TEST_F(WebFileTest, UnderstandsEveryClientAuthType) {
  auto f = [&](std::string_view name, net::ClientAuth wanted) {
    const auto file = Load(Tls("  client_auth_type: " + std::string(name) + "\n"));
    ASSERT_TRUE(file) << file.error().message();
    EXPECT_EQ(file->tls->client_auth, wanted) << name;
  };
  f("NoClientCert", net::ClientAuth::kNoClientCert);
  f("RequestClientCert", net::ClientAuth::kRequestClientCert);
  f("RequireAnyClientCert", net::ClientAuth::kRequireAnyClientCert);
  f("RequireClientCert", net::ClientAuth::kRequireAnyClientCert);
  f("VerifyClientCertIfGiven", net::ClientAuth::kVerifyClientCertIfGiven);
  f("RequireAndVerifyClientCert", net::ClientAuth::kRequireAndVerifyClientCert);
}

TEST_F(WebFileTest, OldMinimumVersionsMeanTheLowestThatIsSpoken) {
  for (const char* version : {"TLS10", "TLS11"}) {
    const auto file = Load(Tls(std::string("  min_version: ") + version + "\n"));
    ASSERT_TRUE(file) << file.error().message();
    EXPECT_EQ(file->tls->min_version, net::TlsVersion::kTls12);
    EXPECT_THAT(file->warnings, ElementsAre(HasSubstr(version)));
  }
}

TEST_F(WebFileTest, PathsAreRelativeToTheFileOrAbsolute) {
  Write("deep/server.crt", "DEEP");
  const auto file =
      LoadWebFile(Write("deep/web.yml", "tls_server_config:\n  cert_file: server.crt\n  key_file: " +
                                            std::filesystem::absolute(Path("server.key")).string() + "\n"));
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(file->tls->certificate, "DEEP");
  EXPECT_EQ(file->tls->key, "KEY");
}

// ---- our extensions

TEST_F(WebFileTest, TakesTokensAndGrants) {
  const auto file = Load(Tls("  client_auth_type: VerifyClientCertIfGiven\n") + R"(
basic_auth_users: {alice: )" +
                         std::string(kHash) + R"(}
tokens:
  - {name: prometheus-eu, sha256: )" +
                         Upper(kDigest) + R"(, roles: [write], tenants: [eu]}
grants:
  alice: {roles: [read, admin], tenants: ["*"]}
  "CN=agent,O=acme": {roles: [write], tenants: ["7:1", "eu"]}
)");
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_THAT(file->access.tokens,
              ElementsAre(access::Token{"prometheus-eu", std::string(kDigest), {{"write"}, {"eu"}}}));
  EXPECT_THAT(file->access.grants, ElementsAre(Pair("CN=agent,O=acme", access::Grant{{"write"}, {"7:1", "eu"}}),
                                               Pair("alice", access::Grant{{"read", "admin"}, {"*"}})));
}

// ---- faults

TEST_F(WebFileTest, NamesTheLineAndTheKeyOfEachFault) {
  auto f = [&](const std::string& text, std::string_view fault) {
    EXPECT_THAT(Faults(text), HasSubstr(fault)) << text;
  };
  f("tls_server_conf: {}\n", "web.yml:1: unknown key 'tls_server_conf' (did you mean 'tls_server_config'?)");
  f(Tls("  min_versoin: TLS12\n"),
    "web.yml:4: unknown key 'tls_server_config.min_versoin' (did you mean 'min_version'?)");
  f("zzz: 1\n", "web.yml:1: unknown key 'zzz'");
  f("tls_server_config: yes\n", "web.yml:1: tls_server_config wants a section");
  f(Tls("  min_version: TLS14\n"), "web.yml:4: tls_server_config.min_version is 'TLS14'; it wants one of TLS10, TLS11");
  f(Tls("  max_version: TLS11\n"), "web.yml:4: tls_server_config.max_version is 'TLS11'; it wants one of TLS12, TLS13");
  f(Tls("  min_version: TLS13\n  max_version: TLS12\n"), "tls_server_config.min_version is above max_version");
  f(Tls("  client_auth_type: Sometimes\n"), "web.yml:4: tls_server_config.client_auth_type is 'Sometimes'");
  f(Tls("  client_ca_file: ca/clients.crt\n"), "tls_server_config.client_ca has no effect without a client_auth_type");
  f(Tls("  client_auth_type: RequestClientCert\n  client_allowed_sans: [a]\n"),
    "tls_server_config.client_allowed_sans needs");
  f(Tls("  cert: x\n"), "tls_server_config.cert and tls_server_config.cert_file are both here");
  f(Tls("  cipher_suites: x\n"), "web.yml:4: tls_server_config.cipher_suites wants a list");
  f(Tls("  prefer_server_cipher_suites: maybe\n"), "tls_server_config.prefer_server_cipher_suites wants true or false");
  f("tls_server_config: {key_file: server.key}\n", "tls_server_config wants cert_file or cert");
  f("tls_server_config: {cert_file: server.crt}\n", "tls_server_config wants key_file or key");
  f("tls_server_config: {cert_file: nowhere.crt, key_file: server.key}\n",
    "tls_server_config.cert_file: nowhere.crt: cannot be read");
  f("http_server_config: {headers: {X-Powered-By: me}}\n", "unknown key 'http_server_config.headers.X-Powered-By'");
  f("http_server_config: {headers: {X-Frame-Options: maybe}}\n",
    "http_server_config.headers.X-Frame-Options is 'maybe'");
  f("http_server_config: {headers: {X-Content-Type-Options: sniff}}\n", "X-Content-Type-Options is 'sniff'");
  f("http_server_config: {headers: {X-XSS-Protection: \"1\\r\\nX: y\"}}\n",
    "X-XSS-Protection wants the value of an HTTP header");
  f("http_server_config: {http2: perhaps}\n", "http_server_config.http2 wants true or false");
  f("rate_limit: {interval: 1000}\n", "rate_limit.interval wants a duration");
  f("rate_limit: {interval: 1s}\n", "rate_limit.burst wants a number above 0");
  f("basic_auth_users: {alice: secret}\n", "basic_auth_users.alice wants a bcrypt hash");
  f("basic_auth_users: {\"a:b\": " + std::string(kHash) + "}\n", "basic_auth_users.a:b: a user name");
  f("basic_auth_users: [alice]\n", "web.yml:1: basic_auth_users wants a section");
  f("tokens: {name: x}\n", "web.yml:1: tokens wants a list");
  f("tokens:\n  - {name: x, sha256: short, roles: [write], tenants: [a]}\n", "web.yml:2: tokens[0].sha256 wants 64");
  f("tokens:\n  - {name: x, sha256: " + std::string(kDigest) + ", roles: [owner], tenants: [a]}\n",
    "tokens[0].roles is 'owner'; it wants one of write, read, admin");
  f("tokens:\n  - {name: x, sha256: " + std::string(kDigest) + "}\n", "tokens[0].roles wants at least one");
  f("tokens:\n  - {name: x, sha256: " + std::string(kDigest) + "}\n", "tokens[0].tenants wants at least one tenant");
  f("grants: {bob: {roles: [read], tenants: [a]}}\n", "web.yml:1: grants.bob: there is no such user");
  f("a: &x 1\n", "anchors are not supported");
}

TEST_F(WebFileTest, ATokenIsListedOnce) {
  const std::string token = "{name: x, sha256: " + std::string(kDigest) + ", roles: [write], tenants: [a]}";
  EXPECT_EQ(Faults("tokens:\n  - " + token + "\n  - " + token + "\n"),
            "web.yml:3: tokens[1].name is here twice\nweb.yml:3: tokens[1].sha256 is here twice");
}

TEST_F(WebFileTest, ReportsAllFaultsInTheOrderOfTheirLines) {
  EXPECT_EQ(Faults("zzz: 1\nbasic_auth_users: {alice: x}\nyyy: 2\n"),
            "web.yml:1: unknown key 'zzz'\n"
            "web.yml:2: basic_auth_users.alice wants a bcrypt hash, as `htpasswd -nBC 10 USER` writes it ($2y$10$…)\n"
            "web.yml:3: unknown key 'yyy'");
}

TEST_F(WebFileTest, NoMessageHoldsASecret) {
  const std::string secret = "hunter2";
  for (const std::string& text :
       {"basic_auth_users: {alice: " + secret + "}\n", "tokens: [{name: x, sha256: " + secret + "}]\n",
        "tls_server_config: {key: " + secret + "}\n", "tls_server_config: {key: " + secret + ", key_file: x}\n"}) {
    EXPECT_THAT(Faults(text), Not(HasSubstr(secret)));
  }
}

TEST_F(WebFileTest, AMissingFileIsAnError) {
  EXPECT_THAT(LoadWebFile(Path("nowhere.yml")).error().message(), HasSubstr("nowhere.yml: cannot be read"));
}

}  // namespace
}  // namespace mi::config
