// Who may do what: every principal at every endpoint of every role, with every kind of tenant, over HTTP.
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "app/http_listener.h"
#include "app/query_service.h"
#include "app/receiver.h"
#include "base/format.h"
#include "net/testing/server_fixture.h"
#include "stream/activity_queue.h"
#include "stream/testing/fake_stream.h"
#include "telemetry/testing/kept_log.h"

namespace mi::app {
namespace {

using net::Role;

// The whole surface. An endpoint that is missing here fails the test.
const std::map<std::string, Role>& Endpoints() {
  static const auto* const table = [] {
    auto* const made = new std::map<std::string, Role>{
        {"/health", Role::kAnybody},
        {"/ready", Role::kAnybody},
        {"/-/healthy", Role::kAnybody},
        {"/-/ready", Role::kAnybody},
        {"/", Role::kRead},
        {"/metrics", Role::kAdmin},
        {"/debug/pprof", Role::kAdmin},
        {"/debug/pprof/*", Role::kAdmin},
        {"/api/v1/write", Role::kWrite},
        {"/api/v1/push", Role::kWrite},
        {"/api/v1/receive", Role::kWrite},
        {"/api/v1/metrics/write", Role::kWrite},
        {"/api/v1/metrics/send", Role::kWrite},
        {"/insert/{tenant}/prometheus", Role::kWrite},
        {"/insert/{tenant}/prometheus/api/v1/write", Role::kWrite},
        {"/api/v1/metrics/cache", Role::kRead},
    };
    for (const char* prefix : {"", "/prometheus", "/select/{tenant}/prometheus"}) {
      for (const char* path : {"series",
                               "labels",
                               "label/*",
                               "metadata",
                               "query",
                               "query_range",
                               "format_query",
                               "parse_query",
                               "status/buildinfo",
                               "status/runtimeinfo",
                               "status/flags",
                               "status/config",
                               "status/walreplay",
                               "rules",
                               "alerts",
                               "alertmanagers",
                               "targets",
                               "targets/metadata",
                               "scrape_pools",
                               "query_exemplars"}) {
        made->emplace(format("{}/api/v1/{}", prefix, path), Role::kRead);
      }
    }
    return made;
  }();
  return *table;
}

struct Principal {
  std::string name;
  std::string authorization;
  bool has_login;
  std::vector<Role> roles;
  std::vector<std::string> tenants;  // empty: all
};

// Passwords are "secret"; tokens are what their digests below are of.
const std::vector<Principal>& Principals() {
  static const auto* const all = new std::vector<Principal>{
      {"nobody", "", false, {}, {}},
      {"wrong user", "Basic YWxpY2U6d3Jvbmc=", false, {}, {}},
      {"wrong token", "Bearer guess", false, {}, {}},
      {"user without a grant", "Basic Ym9iOnNlY3JldA==", true, {Role::kWrite, Role::kRead}, {}},
      {"reader and admin of all", "Basic YWxpY2U6c2VjcmV0", true, {Role::kRead, Role::kAdmin}, {}},
      {"writer of eu", "Bearer writer-eu", true, {Role::kWrite}, {"eu"}},
      {"reader of eu", "Bearer reader-eu", true, {Role::kRead}, {"eu"}},
      {"admin of eu", "Bearer admin-eu", true, {Role::kAdmin}, {"eu"}},
      {"all roles of eu and us", "Bearer all-eu-us", true, {Role::kWrite, Role::kRead, Role::kAdmin}, {"eu", "us"}},
  };
  return *all;
}

constexpr std::string_view kWebFile = R"(
basic_auth_users:
  alice: $2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW
  bob: $2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW
tokens:
  - {name: writer, sha256: @writer-eu@, roles: [write], tenants: [eu]}
  - {name: reader, sha256: @reader-eu@, roles: [read], tenants: [eu]}
  - {name: admin, sha256: @admin-eu@, roles: [admin], tenants: [eu]}
  - {name: all, sha256: @all-eu-us@, roles: [write, read, admin], tenants: [eu, us]}
grants:
  alice: {roles: [read, admin], tenants: ["*"]}
)";

// The tokens between @ become their digests.
std::string WebFile() {
  std::string text(kWebFile);
  for (size_t from = 0; (from = text.find('@')) != std::string::npos;) {
    const size_t to = text.find('@', from + 1);
    std::string hex;
    for (const uint8_t byte : access::Sha256(text.substr(from + 1, to - from - 1))) hex += format("{:02x}", byte);
    text.replace(from, to + 1 - from, hex);
  }
  return text;
}

std::string PathOf(std::string pattern, const std::string& tenant) {
  if (const size_t at = pattern.find("{tenant}"); at != std::string::npos) pattern.replace(at, 8, tenant);
  if (pattern.ends_with("label/*")) pattern.replace(pattern.size() - 1, 1, "job/values");
  if (pattern.ends_with("/*")) pattern.replace(pattern.size() - 1, 1, "symbol");
  return pattern;
}

// The parts that register routes, as every role has them.
class AccessMatrixTest : public testing::Test {
 protected:
  AccessMatrixTest() {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ + "/web.yml") << WebFile();
    config_.server.listen = "127.0.0.1:0";
    config_.server.threads = 1;
    config_.web.config_file = folder_ + "/web.yml";
    auto listener = HttpListener::Bind(config_, clock_, log_, *metrics_);
    if (!listener) throw std::runtime_error(listener.error().message());
    listener_ = std::move(*listener);
    receiver_ = Receiver::Create(config_, {"", std::make_unique<dedupe::SeenSet>(config_.seen, clock_), *publisher_,
                                           activity_, nullptr, clock_, log_, *metrics_, listener_->memory()})
                    .value();
    receiver_->RegisterRoutes(listener_->router());
    query_service_.Serve(listener_->router(), listener_->memory());
    query_service_.SetReady();
  }
  ~AccessMatrixTest() override {
    query_service_.Refuse();
    listener_->Drain(std::chrono::seconds(1), std::chrono::seconds(0), [] {});
    receiver_->Stop(std::chrono::milliseconds(0));
    query_service_.Stop();
    std::filesystem::remove_all(folder_);
  }

  // The status of the answer. `header`: of X-Scope-OrgID.
  int Ask(net::Peer& peer, const std::string& path, Role role, const Principal& principal, const std::string& header) {
    std::string request = format("{} {} HTTP/1.1\r\nHost: x\r\n", role == Role::kWrite ? "POST" : "GET", path);
    if (role == Role::kWrite) request += "Content-Length: 0\r\n";
    if (!principal.authorization.empty()) request += format("Authorization: {}\r\n", principal.authorization);
    if (!header.empty()) request += format("X-Scope-OrgID: {}\r\n", header);
    EXPECT_TRUE(peer.Send(request + "\r\n"));
    return peer.Read().status;
  }

  const std::string folder_ =
      testing::TempDir() + "access_matrix_test." + testing::UnitTest::GetInstance()->current_test_info()->name();
  ManualClock clock_;
  telemetry::KeptLog log_;
  const std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  config::Config config_;
  stream::FakeStream stream_;
  const std::unique_ptr<stream::SeriesPublisher> publisher_ = stream_.OpenPublisher();
  stream::ActivityQueue activity_{1000, *metrics_};
  std::unique_ptr<Receiver> receiver_;
  QueryService query_service_{config_, clock_, log_, *metrics_, [] { return Status(); }};
  std::unique_ptr<HttpListener> listener_;
};

TEST_F(AccessMatrixTest, EveryEndpointHasARow) {
  std::map<std::string, Role> registered;
  for (const net::Router::Endpoint& endpoint : listener_->router().endpoints()) {
    registered.emplace(endpoint.pattern, endpoint.role);
  }
  EXPECT_EQ(registered, Endpoints());
}

TEST_F(AccessMatrixTest, EveryPrincipalMayDoWhatItIsGrantedAndNothingElse) {
  listener_->Start();
  net::Peer peer(listener_->port());
  int asked = 0;
  for (const auto& [pattern, role] : Endpoints()) {
    const bool in_path = pattern.contains("{tenant}");
    for (const Principal& principal : Principals()) {
      for (const std::string tenant : {"", "eu", "us", "other"}) {
        if (in_path && tenant.empty()) continue;
        const bool has_role = std::ranges::find(principal.roles, role) != principal.roles.end();
        const bool has_tenant = tenant.empty() || principal.tenants.empty() ||
                                std::ranges::find(principal.tenants, tenant) != principal.tenants.end();
        const int wanted = role == Role::kAnybody ? 0 : !principal.has_login ? 401 : has_role && has_tenant ? 0 : 403;
        // So that the many wrong logins of this test are not slowed down.
        clock_.Advance(std::chrono::minutes(1));
        const int status = Ask(peer, PathOf(pattern, tenant), role, principal, in_path ? "" : tenant);
        EXPECT_EQ(status == 401 || status == 403 || status == 0 ? status : 0, wanted)
            << principal.name << " at " << pattern << " for tenant '" << tenant << "': " << status;
        ++asked;
      }
    }
  }
  RecordProperty("requests", asked);
  EXPECT_GT(asked, 2000);
}

TEST_F(AccessMatrixTest, APathAndAHeaderMustBothBeGranted) {
  listener_->Start();
  net::Peer peer(listener_->port());
  const Principal& reader = Principals()[6];
  EXPECT_EQ(Ask(peer, "/select/eu/prometheus/api/v1/labels", Role::kRead, reader, "us"), 403);
  EXPECT_EQ(Ask(peer, "/select/eu/prometheus/api/v1/labels", Role::kRead, reader, "eu"), 200);
  EXPECT_EQ(Ask(peer, "/select/us/prometheus/api/v1/labels", Role::kRead, reader, "eu"), 403);
}

}  // namespace
}  // namespace mi::app
