#include "access/guard.h"

#include <future>
#include <string>

#include "access/base64.h"
#include "base/format.h"
#include "net/testing/fake_request.h"
#include "telemetry/testing/kept_log.h"

namespace mi::access {
namespace {

using net::FakeRequest;
using net::Role;
using testing::ElementsAre;
using testing::HasSubstr;

// Of "secret" and "wonder", with the lowest cost.
const std::string kSecret = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
const std::string kWonder = "$2b$04$ABCDEFGHIJKLMNOPQRSTUuXHmgKvSH/xtrohaVcXl06pr4L5ZbBs2";

std::string Encode(std::string_view text) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string encoded;
  for (size_t i = 0; i < text.size(); i += 3) {
    uint32_t bits = 0;
    const std::string_view part = text.substr(i, 3);
    for (size_t at = 0; at < 3; ++at) bits = bits << 8 | (at < part.size() ? static_cast<uint8_t>(part[at]) : 0);
    for (size_t at = 0; at < 4; ++at) encoded += at <= part.size() ? kAlphabet[bits >> (18 - 6 * at) & 63] : '=';
  }
  return encoded;
}

std::string Hex(std::string_view text) {
  std::string hex;
  for (const uint8_t byte : Sha256(text)) hex += format("{:02x}", byte);
  return hex;
}

class GuardTest : public testing::Test {
 protected:
  GuardTest() {
    options_.users = {{"alice", kSecret}, {"bob", kWonder}};
    options_.tokens = {{"prometheus-eu", Hex("token-eu"), {{"write"}, {"eu"}}},
                       {"two", Hex("token-two"), {{"write", "read"}, {"us", "eu", "0:0", "eu"}}}};
    options_.grants = {{"alice", {{"read", "admin"}, {"*"}}}, {"CN=agent,O=acme", {{"write"}, {"eu"}}}};
    Configure();
  }
  void Configure() { ASSERT_TRUE(guard_.Configure(options_)); }

  // Waits for a verdict that comes later.
  net::Gate::Verdict Check(const net::Request& request, Role needed) {
    auto later = std::make_shared<std::promise<net::Gate::Verdict>>();
    auto verdict =
        guard_.Check(request, needed, [later](net::Gate::Verdict given) { later->set_value(std::move(given)); });
    return verdict ? *std::move(verdict) : later->get_future().get();
  }
  // The caller's name, "open", or the status of the refusal.
  std::string Ask(const net::Request& request, Role needed) {
    const net::Gate::Verdict verdict = Check(request, needed);
    if (!verdict) return std::to_string(verdict.error().status);
    return *verdict == nullptr ? "open" : (*verdict)->name;
  }
  static FakeRequest From(std::string_view authorization, std::string_view peer = "10.0.0.1") {
    FakeRequest request("POST", "/api/v1/write");
    if (!authorization.empty()) request.With("Authorization", authorization);
    request.SetPeer(peer);
    return request;
  }
  static FakeRequest Login(std::string_view user_and_password, std::string_view peer = "10.0.0.1") {
    return From("Basic " + Encode(user_and_password), peer);
  }
  double Refused(std::string_view reason) {
    return metrics_->GetCounter("access_refused_total", "", {{"reason", std::string(reason)}}).Value();
  }

  AccessOptions options_;
  ManualClock clock_;
  telemetry::KeptLog log_;
  const std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  Guard guard_{clock_, log_, *metrics_};
};

// ---- logins

TEST_F(GuardTest, WithoutLoginsEverythingIsOpen) {
  options_ = {};
  Configure();
  for (const Role role : {Role::kAnybody, Role::kWrite, Role::kRead, Role::kAdmin}) {
    EXPECT_EQ(Ask(From(""), role), "open");
    EXPECT_EQ(Ask(From("Bearer anything"), role), "open");
  }
}

TEST_F(GuardTest, SomeEndpointsStayOpen) {
  EXPECT_EQ(Ask(From(""), Role::kAnybody), "open");
  EXPECT_EQ(Ask(From("Bearer wrong"), Role::kAnybody), "open");
}

TEST_F(GuardTest, AsksForTheLoginsThatThereAre) {
  const net::Gate::Verdict verdict = Check(From(""), Role::kRead);
  ASSERT_FALSE(verdict);
  EXPECT_EQ(verdict.error().status, 401);
  EXPECT_EQ(net::HeaderOf(verdict.error(), "WWW-Authenticate"),
            R"(Basic realm="metric-index", charset="UTF-8", Bearer realm="metric-index")");
  EXPECT_EQ(Refused("no_login"), 1);
  options_.users.clear();
  options_.grants.clear();
  Configure();
  EXPECT_EQ(net::HeaderOf(Check(From(""), Role::kRead).error(), "WWW-Authenticate"), R"(Bearer realm="metric-index")");
}

TEST_F(GuardTest, KnowsBearerTokens) {
  EXPECT_EQ(Ask(From("Bearer token-eu"), Role::kWrite), "prometheus-eu");
  EXPECT_EQ(Ask(From("bearer   token-eu  "), Role::kWrite), "prometheus-eu");
  for (const char* wrong : {"Bearer token-e", "Bearer token-euu", "Bearer", "Bearer ", "Bearertoken-eu",
                            "Token token-eu", "token-eu", ""}) {
    EXPECT_EQ(Ask(From(wrong), Role::kWrite), "401") << wrong;
  }
}

TEST_F(GuardTest, KnowsUsersAndTheirPasswords) {
  EXPECT_EQ(Ask(Login("alice:secret"), Role::kRead), "alice");
  EXPECT_EQ(Ask(Login("alice:secret"), Role::kRead), "alice") << "now remembered";
  EXPECT_EQ(Ask(Login("bob:wonder"), Role::kWrite), "bob");
  for (const char* wrong :
       {"alice:Secret", "alice:", "alice", "alice:secret ", "bob:secret", "carol:secret", ":secret", ""}) {
    EXPECT_EQ(Ask(Login(wrong, "10.0.0.2"), Role::kRead), "401") << wrong;
    clock_.Advance(std::chrono::minutes(1));
  }
  EXPECT_EQ(Ask(Login(std::string_view("alice:secret\0", 13)), Role::kRead), "401");
  EXPECT_EQ(Ask(From("Basic !!!"), Role::kRead), "401");
  EXPECT_EQ(Refused("wrong_login"), 7);
  EXPECT_EQ(Refused("no_login"), 3) << "without a colon there is no login";
}

TEST_F(GuardTest, TwoHeadersAreNoLogin) {
  FakeRequest request = From("Bearer token-eu");
  request.With("Authorization", "Bearer token-eu");
  EXPECT_EQ(Ask(request, Role::kWrite), "401");
}

TEST_F(GuardTest, KnowsCertificatesByTheirNames) {
  auto f = [&](std::vector<std::string> names, std::string_view wanted) {
    FakeRequest request = From("");
    request.SetCertificateNames(names);
    EXPECT_EQ(Ask(request, Role::kWrite), wanted);
  };
  f({"CN=agent,O=acme"}, "CN=agent,O=acme");
  f({"CN=other", "CN=agent,O=acme"}, "CN=agent,O=acme");
  f({"CN=agent"}, "401");
  f({}, "401");
}

TEST_F(GuardTest, AWrongLoginIsNotSavedByACertificate) {
  const std::vector<std::string> names = {"CN=agent,O=acme"};
  FakeRequest request = From("Bearer wrong");
  request.SetCertificateNames(names);
  EXPECT_EQ(Ask(request, Role::kWrite), "401");
}

TEST_F(GuardTest, NeitherTheLogNorTheAnswerHoldsASecret) {
  Ask(Login("alice:hunter2"), Role::kRead);
  Ask(From("Bearer hunter2"), Role::kRead);
  EXPECT_TRUE(log_.Has("login failed: user 'alice' from 10.0.0.1"));
  EXPECT_FALSE(log_.Has("hunter2"));
}

// ---- roles and tenants

TEST_F(GuardTest, ARoleIsNeededForEachEndpoint) {
  auto f = [&](const FakeRequest& request, std::string_view write, std::string_view read, std::string_view admin) {
    EXPECT_EQ(Ask(request, Role::kWrite), write);
    EXPECT_EQ(Ask(request, Role::kRead), read);
    EXPECT_EQ(Ask(request, Role::kAdmin), admin);
  };
  f(Login("alice:secret"), "403", "alice", "alice");
  f(Login("bob:wonder"), "bob", "bob", "403");  // without a grant
  f(From("Bearer token-eu"), "prometheus-eu", "403", "403");
  EXPECT_EQ(Refused("role"), 4);
  EXPECT_THAT(Check(From("Bearer token-eu"), Role::kAdmin).error().body,
              HasSubstr("prometheus-eu has not the role admin"));
}

TEST_F(GuardTest, TenantsMustBeGranted) {
  auto f = [&](std::string_view path, std::string_view header, std::string_view wanted) {
    FakeRequest request("POST", path);
    request.With("Authorization", "Bearer token-two");
    if (!header.empty()) request.With("X-Scope-OrgID", header);
    EXPECT_EQ(Ask(request, Role::kWrite), wanted) << path << " " << header;
  };
  f("/api/v1/write", "", "two");
  f("/api/v1/write", "eu", "two");
  f("/api/v1/write", "asia", "403");
  f("/api/v1/write", "0", "two");  // the default tenant
  f("/api/v1/write", "7:1", "403");
  f("/api/v1/series", "eu|us", "two");
  f("/api/v1/series", "eu|asia", "403");
  f("/insert/eu/prometheus/api/v1/write", "", "two");
  f("/insert/e%75/prometheus/api/v1/write", "", "two");
  f("/insert/asia/prometheus/api/v1/write", "", "403");
  f("/insert/asi%61/prometheus/api/v1/write", "", "403");
  f("/insert/asia/prometheus/api/v1/write", "eu", "403");
  f("/select/asia/prometheus/api/v1/series", "", "403");
  f("/select/us%7Casia/prometheus/api/v1/series", "", "403");
  EXPECT_EQ(Refused("tenant"), 8);
}

TEST_F(GuardTest, TheCallerCarriesItsTenantsInTheirNormalForm) {
  const net::Gate::Verdict two = Check(From("Bearer token-two"), Role::kRead);
  ASSERT_TRUE(two);
  EXPECT_THAT((*two)->tenants, ElementsAre("", "eu", "us"));
  EXPECT_FALSE((*two)->all_tenants);
  EXPECT_TRUE((*Check(Login("alice:secret"), Role::kRead))->all_tenants);
}

TEST_F(GuardTest, RefusesTenantsThatAreNone) {
  options_.tokens[1].grant.tenants = {"a b"};
  const Status taken = guard_.Configure(options_);
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error().message(), HasSubstr("tokens[1].tenants: tenant \"a b\" is not"));
  EXPECT_EQ(Ask(From("Bearer token-two"), Role::kRead), "two") << "the rules of before stay";
}

// ---- changes

TEST_F(GuardTest, ChangesCountFromTheNextRequestOn) {
  EXPECT_EQ(Ask(Login("alice:secret"), Role::kRead), "alice");
  options_.users["alice"] = kWonder;
  options_.tokens.clear();
  Configure();
  EXPECT_EQ(Ask(Login("alice:secret"), Role::kRead), "401");
  EXPECT_EQ(Ask(Login("alice:wonder"), Role::kRead), "alice");
  EXPECT_EQ(Ask(From("Bearer token-eu"), Role::kWrite), "401");
}

// ---- floods

TEST_F(GuardTest, SlowsDownAnAddressThatFailsAgainAndAgain) {
  for (int i = 0; i < LoginThrottle::kFreeFailures; ++i) {
    EXPECT_EQ(Ask(Login(format("alice:guess{}", i)), Role::kRead), "401");
  }
  const net::Gate::Verdict slowed = Check(Login("alice:secret"), Role::kRead);
  ASSERT_FALSE(slowed) << "whether a guess is right must not show";
  EXPECT_EQ(slowed.error().status, 503);
  EXPECT_EQ(net::HeaderOf(slowed.error(), "Retry-After"), "3");
  EXPECT_EQ(Ask(From("Bearer token-eu"), Role::kWrite), "503");
  EXPECT_EQ(Refused("slowed_down"), 2);
  EXPECT_EQ(Ask(Login("alice:secret", "10.0.0.2"), Role::kRead), "alice") << "other addresses are not slowed down";
  clock_.Advance(LoginThrottle::kPerFailure);
  EXPECT_EQ(Ask(Login("alice:secret"), Role::kRead), "alice");
}

TEST_F(GuardTest, AHeaderWithoutACredentialIsNoGuess) {
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(Ask(From("X"), Role::kWrite), "401");
    EXPECT_EQ(Ask(From("Basic ?"), Role::kWrite), "401");
  }
  EXPECT_EQ(Ask(From("Bearer token-eu"), Role::kWrite), "prometheus-eu");
}

TEST_F(GuardTest, GuessesThatComeAtOnceTellNoMoreThanThoseInARow) {
  std::vector<std::future<int>> answers;
  for (int i = 0; i < 40; ++i) {
    auto answer = std::make_shared<std::promise<int>>();
    answers.push_back(answer->get_future());
    auto now = guard_.Check(Login(format("alice:guess{}", i)), Role::kRead,
                            [answer](const net::Gate::Verdict& given) { answer->set_value(given.error().status); });
    if (now) answer->set_value(now->error().status);
  }
  int told = 0;
  for (std::future<int>& answer : answers) told += answer.get() == 401 ? 1 : 0;
  EXPECT_EQ(told, LoginThrottle::kFreeFailures);
}

TEST_F(GuardTest, WhatHasLoggedInFromAnAddressIsNotSlowedDown) {
  EXPECT_EQ(Ask(Login("alice:secret"), Role::kRead), "alice");
  EXPECT_EQ(Ask(From("Bearer token-eu"), Role::kWrite), "prometheus-eu");
  for (int i = 0; i < 20; ++i) Ask(From("Bearer wrong"), Role::kWrite);
  EXPECT_EQ(Ask(From("Bearer wrong"), Role::kWrite), "503");
  EXPECT_EQ(Ask(Login("alice:secret"), Role::kRead), "alice");
  EXPECT_EQ(Ask(From("Bearer token-eu"), Role::kWrite), "prometheus-eu");
  EXPECT_EQ(Ask(From("Bearer token-two"), Role::kWrite), "503");
}

TEST_F(GuardTest, BoundsRequestsOverall) {
  options_.request_interval = std::chrono::seconds(1);
  options_.request_burst = 2;
  Configure();
  EXPECT_EQ(Ask(From("Bearer token-eu"), Role::kWrite), "prometheus-eu");
  EXPECT_EQ(Ask(From(""), Role::kAnybody), "open");
  EXPECT_EQ(Ask(From("Bearer token-eu"), Role::kWrite), "429");
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(Ask(From("Bearer token-eu"), Role::kWrite), "prometheus-eu");
  EXPECT_EQ(Ask(From("Bearer token-eu"), Role::kWrite), "429");
  options_.request_burst = UINT64_MAX;
  Configure();
  EXPECT_EQ(Ask(From(""), Role::kAnybody), "open") << "a product with the interval would overflow";
}

TEST_F(GuardTest, AStopAnswersThePasswordsThatWait) {
  options_.users["slow"] = "$2y$13" + kSecret.substr(6);  // half a second or more
  Configure();
  std::vector<std::future<net::Gate::Verdict>> verdicts;
  for (int i = 0; i < 20; ++i) {
    auto later = std::make_shared<std::promise<net::Gate::Verdict>>();
    verdicts.push_back(later->get_future());
    auto now = guard_.Check(Login(format("slow:guess{}", i)), Role::kRead,
                            [later](net::Gate::Verdict given) { later->set_value(std::move(given)); });
    ASSERT_FALSE(now.has_value());
  }
  guard_.Stop();
  int busy = 0;
  for (auto& verdict : verdicts) busy += verdict.get().error().status == 503 ? 1 : 0;
  EXPECT_GT(busy, 0);
  EXPECT_EQ(Ask(Login("slow:later"), Role::kRead), "503");
}

TEST_F(GuardTest, BoundsThePasswordsThatWait) {
  options_.users["slow"] = "$2y$13" + kSecret.substr(6);
  Configure();
  int taken = 0;
  for (int i = 0; i < 1000; ++i) {
    auto now = guard_.Check(Login(format("slow:guess{}", i)), Role::kRead, [](net::Gate::Verdict) {});
    if (!now) ++taken;
  }
  EXPECT_LT(taken, 200) << "of one client";
  EXPECT_EQ(Refused("busy"), 1000 - taken);
  guard_.Stop();
}

// ---- the parts

TEST(LoginThrottle, BoundsItsTables) {
  ManualClock clock;
  LoginThrottle throttle(clock);
  for (size_t i = 0; i < 3 * LoginThrottle::kMaxAddresses; ++i) {
    throttle.NoteFailure(format("10.{}.{}.{}", i >> 16, i >> 8 & 255, i & 255));
  }
  EXPECT_LE(throttle.size(), LoginThrottle::kMaxAddresses);
}

TEST(LoginThrottle, CountsTheNetworkOfAnIpv6Address) {
  ManualClock clock;
  LoginThrottle throttle(clock);
  for (int i = 0; i < LoginThrottle::kFreeFailures; ++i) throttle.NoteFailure(format("2001:db8::{}", i));
  EXPECT_TRUE(throttle.Wait("2001:db8:0:0:1::1", "x").has_value());
  EXPECT_FALSE(throttle.Wait("2001:db8:0:1::1", "x").has_value());
}

TEST(PasswordChecker, TakesEveryFormOfBcrypt) {
  EXPECT_TRUE(MatchesBcrypt(kSecret, "secret"));
  EXPECT_TRUE(MatchesBcrypt(kWonder, "wonder"));
  EXPECT_TRUE(MatchesBcrypt("$2a" + kWonder.substr(3), "wonder"));
  EXPECT_FALSE(MatchesBcrypt(kSecret, "wonder"));
  EXPECT_FALSE(MatchesBcrypt(kSecret.substr(0, 59), "secret"));
  EXPECT_FALSE(MatchesBcrypt("", ""));
}

TEST(DecodeBase64, TakesWhatIsBase64Only) {
  for (const std::string_view text : {"", "a", "ab", "abc", "alice:secret", "\xff\x00\x7f"}) {
    EXPECT_EQ(DecodeBase64(Encode(text)), text);
  }
  EXPECT_EQ(DecodeBase64("YWI"), "ab");
  EXPECT_EQ(DecodeBase64("YW I="), std::nullopt);
  EXPECT_EQ(DecodeBase64("Y=WI"), std::nullopt);
  EXPECT_EQ(DecodeBase64("YW-_"), std::nullopt);
}

}  // namespace
}  // namespace mi::access
