#include "web/status_handlers.h"

#include "net/testing/fake_request.h"

namespace mi::web {
namespace {

using net::FakeRequest;
using net::Received;

class StatusPages : public testing::Test {
 protected:
  StatusPages() { handlers_.RegisterRoutes(router_); }
  Received Get(std::string_view target, std::string method = "GET") {
    return Send(router_, FakeRequest(std::move(method), target));
  }

  telemetry::Health health_;
  std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  StatusHandlers handlers_{health_, *metrics_};
  net::Router router_;
};

TEST_F(StatusPages, AnswerLikeThePreviousService) {
  EXPECT_EQ(Get("/").body, "ok");
  EXPECT_EQ(Get("/", "POST").status, 405);
  for (const std::string method : {"GET", "POST", "DELETE", "HEAD"}) {
    EXPECT_EQ(Get("/health", method).status, 200) << method;
    EXPECT_EQ(Get("/health", method).body, "SUCCESS") << method;
  }
  EXPECT_EQ(Get("/-/healthy").status, 200);
}

TEST_F(StatusPages, NameThePartThatWaits) {
  health_.SetWaiting("catalog", "12 of 40 series");
  for (const std::string_view path : {"/ready", "/-/ready"}) {
    EXPECT_EQ(Get(path).status, 503);
    EXPECT_EQ(Get(path).body, "catalog: waiting for 12 of 40 series\n");
  }
  health_.SetReady("catalog");
  for (const std::string_view path : {"/ready", "/-/ready"}) EXPECT_EQ(Get(path).status, 200);
  EXPECT_EQ(Get("/-/healthy").status, 200);
}

TEST_F(StatusPages, RenderTheMetrics) {
  metrics_->GetCounter("things_total", "Things.").Add(3);
  const Received page = Get("/metrics");
  EXPECT_EQ(page.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(page.body, testing::HasSubstr("metric_index_things_total 3"));
  EXPECT_EQ(Get("/metrics", "POST").status, 405);
}

}  // namespace
}  // namespace mi::web
