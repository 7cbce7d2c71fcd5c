#include "receive/cache_handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/identity.h"
#include "net/testing/fake_request.h"

namespace mi::receive {
namespace {

class CacheHandlerTest : public testing::Test {
 protected:
  void Know(std::string_view identity, std::string_view tenant = "") {
    const model::Fingerprinter fingerprinter("secret", model::Tenant::Parse(tenant).value());
    const model::Fingerprint fingerprint = fingerprinter(model::ParseIdentity(identity)->canonical());
    seen_->Insert({&fingerprint, 1});
  }
  net::Response Ask(std::string_view target, std::string tenant = "", std::string method = "GET") {
    net::FakeRequest request(std::move(method), target);
    if (!tenant.empty()) request.With("X-Scope-OrgID", std::move(tenant));
    return net::Ask(handler_, request).Take();
  }

  ManualClock clock_;
  std::unique_ptr<dedupe::SeenSet> seen_ = std::make_unique<dedupe::SeenSet>(dedupe::SeenOptions{}, clock_);
  const Live<ReceiveOptions> options_{{.identity_secret = "secret"}};
  CacheHandler handler_{options_, *seen_};
};

constexpr std::string_view kUp = "/api/v1/metrics/cache?key=up%7Bjob%3D%22a%22%7D";

TEST_F(CacheHandlerTest, SaysWhetherASeriesIsKnown) {
  net::Response response = Ask(kUp);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "application/json; charset=utf-8");
  EXPECT_EQ(response.body,
            R"({"code":200,"message":"Not Found","data":{"key":"up{job=\"a\"}","value":null,"count":0}})");
  Know(R"(up{job="a"})");
  response = Ask(kUp);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, R"({"code":200,"message":"OK","data":{"key":"up{job=\"a\"}","value":1,"count":1}})");
}

TEST_F(CacheHandlerTest, KeepsTenantsApart) {
  Know(R"(up{job="a"})", "team");
  EXPECT_THAT(Ask(kUp).body, testing::HasSubstr("Not Found"));
  EXPECT_THAT(Ask(kUp, "team").body, testing::HasSubstr("OK"));
}

TEST_F(CacheHandlerTest, RefusesMalformedRequests) {
  EXPECT_EQ(Ask("/api/v1/metrics/cache?key=up%7B").status, 400);
  EXPECT_EQ(Ask(kUp, "a b").status, 400);
  EXPECT_THAT(Ask("/api/v1/metrics/cache?key=%ff").body, testing::HasSubstr("\"key\":\"\xef\xbf\xbd\""));
  const net::Response put = Ask(kUp, "", "PUT");
  EXPECT_EQ(put.status, 405);
  EXPECT_EQ(net::HeaderOf(put, "Allow"), "GET, HEAD");
}

}  // namespace
}  // namespace mi::receive
