// What the tests of the query API share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/format.h"
#include "base/memory_budget.h"
#include "net/testing/fake_request.h"
#include "query/testing/fake_snapshot.h"
#include "telemetry/metrics.h"
#include "web/api.h"

namespace mi::web {

// An API over a small catalogue of two tenants, and its answers.
class QueryApi : public testing::Test {
 protected:
  static constexpr int64_t kHour = 3'600'000;
  static constexpr int64_t kNow = 1'700'000'000'000;

  QueryApi() {
    AddSeries("", {{"__name__", "up"}, {"instance", "a:1"}, {"job", "api"}});
    AddSeries("", {{"__name__", "up"}, {"instance", "b:1"}, {"job", "db"}});
    AddSeries("", {{"__name__", "http_requests_total"}, {"code", "200"}, {"job", "api"}});
    AddSeries("team-b", {{"__name__", "up"}, {"instance", "a:1"}, {"job", "api"}});  // as the default tenant's
    AddSeries("team-b", {{"__name__", "batch.runs"}, {"cluster.name", "c\n\"1\""}});
    fleet_->AddMetadata({.metadata = {.family = "up", .type = "gauge", .help = "Whether \"it\" is up."}});
    fleet_->AddMetadata(
        {.metadata = {.family = "http_requests_total", .type = "counter", .help = "Requests.", .unit = "1"}});
    fleet_->AddMetadata({.metadata = {.family = "up", .type = "gauge", .help = "Another text."}});
  }

  void AddSeries(std::string tenant, std::map<std::string, std::string> labels) {
    fleet_->AddSeries({.tenant = std::move(tenant),
                       .labels = std::move(labels),
                       .first_seen_ms = kNow - kHour,
                       .last_seen_ms = kNow});
  }

  // Created at the first request, so that a test can prepare its catalogue before.
  const net::Router& Router() {
    if (!api_) {
      api_ = std::make_unique<Api>(options_, ApiDependencies{.snapshot = [this] { return fleet_; },
                                                             .state = [this] { return state_; },
                                                             .memory = memory_,
                                                             .metrics = *metrics_,
                                                             .clock = clock_});
      api_->RegisterRoutes(router_);
    }
    return router_;
  }
  // The next request makes a new one.
  void EndApi() {
    api_.reset();
    router_ = {};
  }
  net::Received Get(std::string_view target) { return Send(Router(), net::FakeRequest("GET", target)); }
  net::Received Post(std::string_view target, std::string form) {
    return Send(Router(), net::FakeRequest("POST", target).WithForm(std::move(form)));
  }
  void Gives(std::string_view target, std::string_view data) {
    const net::Received received = Get(target);
    EXPECT_EQ(received.status, 200) << target;
    EXPECT_EQ(received.content_type, "application/json");
    EXPECT_EQ(received.body, format(R"({{"status":"success","data":{}}})", data)) << target;
  }
  void Refuses(std::string_view target, int status, std::string_view type, std::string_view message) {
    const net::Received received = Get(target);
    EXPECT_EQ(received.status, status) << target;
    EXPECT_EQ(received.content_type, "application/json");
    EXPECT_EQ(received.body, format(R"({{"status":"error","errorType":"{}","error":"{}"}})", type, message)) << target;
  }

  std::shared_ptr<query::FakeSnapshot> fleet_ = std::make_shared<query::FakeSnapshot>();
  MemoryBudget memory_{1 << 30};
  ApiOptions options_ = {.threads = 2, .version = "0.1.0"};
  CatalogState state_;
  std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  ManualClock clock_{kNow};
  std::unique_ptr<Api> api_;
  net::Router router_;
};

}  // namespace mi::web
