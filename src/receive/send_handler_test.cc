#include "receive/send_handler.h"

#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.h"
#include "model/identity.h"
#include "net/testing/fake_request.h"
#include "stream/testing/fake_stream.h"

namespace mi::receive {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kGood = R"({"metric":"cpu","timestamp":1346846400,"value":1,"tags":{"host":"a"}})";
constexpr std::string_view kBad = R"({"metric":"cpu","timestamp":1346846400,"value":"NaN","tags":{"host":"b"}})";

class SendHandlerTest : public testing::Test {
 protected:
  net::FakeAnswer Send(std::string body, std::string_view query = "", std::string method = "POST",
                       std::string type = "application/json") {
    net::FakeRequest request(std::move(method), format("/api/v1/metrics/send{}", query), std::move(body));
    request.With("Content-Type", std::move(type));
    return net::Ask(handler_, request);
  }
  net::Response SendNow(std::string body, std::string_view query = "") { return Send(std::move(body), query).Take(); }
  std::vector<std::string> published() const {
    std::vector<std::string> all;
    for (const auto& batch : stream_.published()) {
      for (size_t i = 0; i < batch->size(); ++i) all.push_back(model::FormatIdentity((*batch)[i].labels));
    }
    return all;
  }
  static std::string List(std::initializer_list<std::string_view> points) {
    std::string list;
    for (const auto point : points) list.append(list.empty() ? "[" : ",").append(point);
    return list + "]";
  }

  ManualClock clock_;
  std::unique_ptr<telemetry::Metrics> registry_ = telemetry::Metrics::Create();
  ReceiveMetrics metrics_{*registry_};
  std::unique_ptr<dedupe::SeenSet> seen_ = std::make_unique<dedupe::SeenSet>(dedupe::SeenOptions{}, clock_);
  std::unique_ptr<dedupe::SeenSet> seen_metadata_ = std::make_unique<dedupe::SeenSet>(dedupe::SeenOptions{}, clock_);
  dedupe::Claims claims_;
  stream::FakeStream stream_;
  std::unique_ptr<stream::SeriesPublisher> publisher_ = stream_.OpenPublisher();
  stream::FakeActivity activity_;
  Live<ReceiveOptions> options_{ReceiveOptions{}};
  PublishOnce publish_once_{{*seen_, *seen_metadata_, claims_, *publisher_, metrics_, clock_}};
  std::vector<std::string> sent_on_;
  MemoryBudget memory_{uint64_t{1} << 30};
  LongWork long_work_{{.threads = 1}};
  SendHandler handler_{{{*seen_, *seen_metadata_, activity_, clock_, metrics_},
                        publish_once_,
                        options_,
                        long_work_,
                        memory_,
                        [this](std::string points) { sent_on_.push_back(std::move(points)); }}};
};

TEST_F(SendHandlerTest, IndexesASeriesOnceAndSendsEveryPointOn) {
  EXPECT_EQ(SendNow(format(R"({{"timeseries":[{},{}]}})", kGood, kGood)).status, 204);
  EXPECT_EQ(SendNow(std::string(kGood)).status, 204);
  EXPECT_THAT(published(), ElementsAre(R"(cpu{host="a"})"));
  EXPECT_THAT(sent_on_, ElementsAre(List({kGood, kGood}), List({kGood})));
  EXPECT_EQ(metrics_.fresh.Value(), 1);
  EXPECT_EQ(metrics_.known.Value(), 1);
}

TEST_F(SendHandlerTest, AnswersAndSendsOnOnlyAfterTheSeriesAreDurable) {
  stream_.HoldAcknowledgements();
  auto answer = Send(List({kGood}));
  EXPECT_FALSE(answer.arrived());
  EXPECT_THAT(sent_on_, IsEmpty());
  stream_.Acknowledge();
  EXPECT_EQ(answer.Take().status, 204);
  EXPECT_EQ(sent_on_.size(), 1U);
}

TEST_F(SendHandlerTest, Answers503IfTheStreamDoesNotAcceptTheSeries) {
  stream_.Fail(stream::FakeCall::kPublish, 1, Error(Errc::kUnavailable, "broker away"));
  const net::Response response = SendNow(List({kGood}));
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(net::HeaderOf(response, "Retry-After"), "5");
  EXPECT_THAT(response.body, HasSubstr("broker away"));
  EXPECT_THAT(sent_on_, IsEmpty());
  EXPECT_EQ(SendNow(List({kGood})).status, 204);
}

TEST_F(SendHandlerTest, ReportsInvalidPointsAsOpenTsdbDoes) {
  const std::string mixed = List({kGood, kBad});
  net::Response response = SendNow(mixed);
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.content_type, "application/json; charset=utf-8");
  EXPECT_THAT(response.body, HasSubstr(R"("message":"One or more data points had errors")"));
  response = SendNow(mixed, "?summary");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.body, R"({"failed":1,"success":1})");
  response = SendNow(mixed, "?summary&details=true");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(
      response.body,
      format(R"({{"failed":1,"success":1,"errors":[{{"datapoint":{},"error":"Unable to parse value to a number"}}]}})",
             kBad));
  response = SendNow(List({kGood}), "?details");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, R"({"failed":0,"success":1,"errors":[]})");
  EXPECT_THAT(published(), ElementsAre(R"(cpu{host="a"})"));
  EXPECT_THAT(sent_on_, testing::Each(List({kGood})));
  EXPECT_EQ(metrics_.refused.Value(), 3);
}

TEST_F(SendHandlerTest, ShowsOnlyTheFirstOfManyFaults) {
  const auto body_of = [](size_t points, std::string_view point) {
    std::string list = "[";
    for (size_t i = 0; i < points; ++i) list.append(i == 0 ? "" : ",").append(point);
    return list + "]";
  };
  const auto told = [](const net::Response& response) {
    size_t count = 0;
    for (size_t at = 0; (at = response.body.find("datapoint", at)) != std::string::npos; ++at) ++count;
    return count;
  };
  net::Response response = SendNow(body_of(5'000, "1"), "?details");
  EXPECT_THAT(response.body, HasSubstr(R"({"failed":5000,"success":0)"));
  EXPECT_EQ(told(response), 1'000U);
  response = SendNow(body_of(5, format("\"{}\"", std::string(400'000, 'x'))), "?details");
  EXPECT_THAT(response.body, HasSubstr(R"({"failed":5,"success":0)"));
  EXPECT_EQ(told(response), 2U);
}

TEST_F(SendHandlerTest, CountsRequestsAndTheReasonOfEachRefusedPoint) {
  EXPECT_EQ(SendNow(List({kGood, kBad, "{}", "7"})).status, 400);
  EXPECT_EQ(SendNow(List({kGood})).status, 204);
  EXPECT_EQ(SendNow("{").status, 400);
  EXPECT_EQ(Send(std::string(kGood), "", "GET").Take().status, 405);
  const std::string text = registry_->Render();
  const auto has = [&](std::string_view line) { EXPECT_THAT(text, HasSubstr(std::string(line))); };
  has(R"(receive_requests_total{code="204",encoding="identity",protocol="opentsdb"} 1)");
  has(R"(receive_requests_total{code="400",encoding="identity",protocol="opentsdb"} 2)");
  has(R"(receive_requests_total{code="405",encoding="identity",protocol="opentsdb"} 1)");
  has(R"(receive_series_total{result="refused"} 3)");
  has(R"(receive_refused_series_total{reason="malformed_point"} 2)");
  has(R"(receive_refused_series_total{reason="no_metric_name"} 1)");
}

TEST_F(SendHandlerTest, RefusesMalformedRequests) {
  EXPECT_EQ(SendNow("{").status, 400);
  EXPECT_EQ(SendNow("[]").status, 400);
  EXPECT_EQ(SendNow("").status, 400);
  EXPECT_EQ(Send(std::string(kGood), "", "GET").Take().status, 405);
  EXPECT_EQ(Send(std::string(kGood), "", "POST", "application/x-protobuf").Take().status, 415);
  ReceiveOptions options;
  options.max_body_bytes = 10;
  options_.Set(options);
  const net::Response response = SendNow(std::string(kGood));
  EXPECT_EQ(response.status, 413);
  EXPECT_THAT(response.body, HasSubstr("receive.max_body_bytes"));
}

TEST_F(SendHandlerTest, RefusesNewSeriesBeyondTheDecodedLimit) {
  ReceiveOptions options;
  options.max_decoded_bytes = 10;
  options_.Set(options);
  const std::string_view other = R"({"metric":"cpu","timestamp":1346846400,"value":1,"tags":{"host":"b"}})";
  const net::Response response = SendNow(List({kGood, other}));
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.body, HasSubstr("receive.max_decoded_bytes"));
  EXPECT_THAT(published(), IsEmpty());
  EXPECT_THAT(sent_on_, IsEmpty());
}

TEST_F(SendHandlerTest, ReadsLongBodiesOnAThreadOfTheirOwn) {
  std::string list = "[";
  for (int i = 0; i < 2000; ++i) {
    list += format(R"({}{{"metric":"cpu","timestamp":1,"value":1,"tags":{{"host":"{}"}}}})", i == 0 ? "" : ",", i);
  }
  list += "]";
  std::promise<void> begun;
  std::promise<void> end;
  const auto hold = [&](const Status&) {
    begun.set_value();
    end.get_future().wait();
  };
  long_work_.Add("other", hold);
  begun.get_future().wait();
  auto answer = Send(list, "?summary");
  EXPECT_EQ(SendNow(List({kGood})).status, 204) << "a short one does not wait";
  EXPECT_FALSE(answer.arrived());
  EXPECT_GT(memory_.used(), list.size());
  end.set_value();
  EXPECT_EQ(answer.Take().body, R"({"failed":0,"success":2000})");
  EXPECT_EQ(published().size(), 2001U);

  begun = {};
  end = {};
  long_work_.Add("other", hold);
  begun.get_future().wait();
  auto late = Send(list);
  clock_.Advance(options_.Get()->answer_timeout + std::chrono::seconds(1));
  end.set_value();
  const net::Response given_up = late.Take();
  EXPECT_EQ(given_up.status, 503) << "its sender waits no more, and will repeat it";
  EXPECT_THAT(given_up.body, HasSubstr("waited for longer than 20000 ms to be read (receive.answer_timeout)"));
  EXPECT_EQ(sent_on_.size(), 2U);

  long_work_.Stop();
  EXPECT_EQ(memory_.used(), 0U);
  EXPECT_EQ(SendNow(list).status, 503) << "the service stops";
}

TEST_F(SendHandlerTest, ALongBodyWaitsForTheStreamOnlyForWhatIsLeftOfTheTimeOut) {
  stream_.HoldAcknowledgements();
  std::promise<void> begun;
  std::promise<void> end;
  long_work_.Add("other", [&](const Status&) {
    begun.set_value();
    end.get_future().wait();
  });
  begun.get_future().wait();
  auto answer = Send(List({kGood}) + std::string(64 << 10, ' '));
  clock_.Advance(options_.Get()->answer_timeout);
  end.set_value();
  const net::Response response = answer.Take();
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(response.body, HasSubstr("not durable within 20000 ms (receive.answer_timeout)"));
  EXPECT_THAT(sent_on_, IsEmpty());
  long_work_.Stop();
  stream_.Acknowledge();
}

TEST_F(SendHandlerTest, RefusesWhatNeedsMoreMemoryThanThereIs) {
  ASSERT_TRUE(memory_.TryTake(memory_.limit()));
  const net::Response response = SendNow(List({kGood}));
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(response.body, HasSubstr("receive.max_buffered_bytes"));
}

TEST_F(SendHandlerTest, PublishesActivity) {
  EXPECT_EQ(SendNow(List({kGood})).status, 204);
  clock_.Advance(std::chrono::hours(1));
  EXPECT_EQ(SendNow(List({kGood})).status, 204);
  EXPECT_EQ(activity_.fingerprints, 1U);
}

TEST_F(SendHandlerTest, Answers503WhileTheServiceStops) {
  handler_.Refuse();
  EXPECT_EQ(SendNow(List({kGood})).status, 503);
}

}  // namespace
}  // namespace mi::receive
