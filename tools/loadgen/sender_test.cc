#include "loadgen/sender.h"

#include <atomic>

#include "net/testing/server_fixture.h"

namespace mi::loadgen {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

// A receiver that answers what `answers` holds, in order, and 204 behind its end.
class SenderTest : public net::ServerTest {
 protected:
  void Receive(std::vector<int> answers = {}) {
    Serve("/write", [this, answers = std::move(answers)](const net::Request& request, net::Reply reply) {
      const size_t turn = turn_++;
      content_type_ = request.Header("Content-Type").value_or("");
      tenant_ = request.Header("X-Scope-OrgID").value_or("");
      reply({.status = turn < answers.size() ? answers[turn] : 204});
    });
    Start();
  }
  // 10 requests of 100 series.
  SendResult Run(SendOptions options) {
    options.url = {.origin = "http://127.0.0.1:" + std::to_string(server_->port()), .target = "/write"};
    return Send(Traffic({.series = 1000, .batch = 100}), options);
  }

  std::atomic<size_t> turn_ = 0;
  std::string content_type_;
  std::string tenant_;
};

TEST_F(SenderTest, EndsAfterSoManyRequestsAndSaysWhatWasAcknowledged) {
  Receive();
  const SendResult result = Run({.tenant = "team-a", .duration = net::kPatience, .requests = 12});
  EXPECT_EQ(result.requests, 12);
  EXPECT_EQ(result.series, 1200);
  EXPECT_THAT(result.status, ElementsAre(Pair(204, 12)));
  EXPECT_THAT(result.latencies_ms, SizeIs(12));
  ASSERT_THAT(result.acknowledged, SizeIs(10));  // each once, although two were sent twice
  EXPECT_EQ(result.acknowledged.front(), Range(0, 100));
  EXPECT_EQ(result.acknowledged.back(), Range(900, 100));
  EXPECT_EQ(content_type_, "application/x-protobuf");
  EXPECT_EQ(tenant_, "team-a");
}

TEST_F(SenderTest, EndsWhenTheTimeIsUp) {
  Receive();
  const SendResult result = Run({.connections = 2, .duration = std::chrono::milliseconds(50)});
  EXPECT_GT(result.requests, 0);
  EXPECT_EQ(result.unfinished, 0);
}

TEST_F(SenderTest, EndsEarlyWhenItIsToldTo) {
  std::atomic<bool> stop = false;
  Serve("/write", [&stop](const net::Request&, net::Reply reply) {
    stop = true;
    reply({.status = 503});
  });
  Start();
  const SendResult result = Run({.duration = std::chrono::hours(1), .stop = &stop});
  EXPECT_EQ(result.unfinished, 1);
}

TEST_F(SenderTest, RepeatsWhatMaySucceedLater) {
  Receive({503, 500, 429});
  const SendResult result = Run({.duration = net::kPatience, .requests = 2});
  EXPECT_THAT(result.status, UnorderedElementsAre(Pair(503, 1), Pair(500, 1), Pair(429, 1), Pair(204, 2)));
  EXPECT_EQ(result.retries, 3);
  EXPECT_THAT(result.acknowledged, ElementsAre(Range(0, 100), Range(100, 100)));
}

TEST_F(SenderTest, DoesNotRepeatWhatCannotSucceed) {
  Receive({400, 204, 415});
  const SendResult result = Run({.duration = net::kPatience, .requests = 3});
  EXPECT_EQ(result.refused, 2);
  EXPECT_EQ(result.retries, 0);
  EXPECT_THAT(result.acknowledged, ElementsAre(Range(100, 100)));
}

TEST_F(SenderTest, RepeatsOverANewConnectionWhenOneIsLost) {
  Serve("/write", [this](const net::Request&, net::Reply reply) {
    if (turn_++ > 0) return reply({.status = 204});
    reply({.next_chunk = [](std::string&) { throw std::runtime_error("the server dies while it answers"); }});
  });
  Start();
  const SendResult result = Run({.duration = net::kPatience, .requests = 2});
  EXPECT_EQ(result.connection_failures, 1);
  EXPECT_EQ(result.retries, 1);
  EXPECT_THAT(result.status, ElementsAre(Pair(204, 2)));
  EXPECT_THAT(result.acknowledged, ElementsAre(Range(0, 100), Range(100, 100)));
}

TEST_F(SenderTest, WaitsAsLongAsTheServerAsks) {
  std::vector<std::chrono::steady_clock::time_point> arrivals;
  Serve("/write", [&](const net::Request&, net::Reply reply) {
    arrivals.push_back(std::chrono::steady_clock::now());
    if (turn_++ > 0) return reply({.status = 204});
    reply({.status = 503, .headers = {{"Retry-After", "1"}}});
  });
  Start();
  EXPECT_EQ(Run({.duration = net::kPatience, .requests = 1}).retries, 1);
  EXPECT_GE(arrivals.at(1) - arrivals.at(0), std::chrono::seconds(1));
}

TEST_F(SenderTest, WhatIsNotAcknowledgedInTheEndIsSaidSo) {
  Receive(std::vector<int>(10'000, 503));
  const SendResult result = Run({.duration = std::chrono::seconds(1)});  // a busy machine may take long to begin
  EXPECT_EQ(result.unfinished, 1);
  EXPECT_EQ(result.series, 0);
  EXPECT_THAT(result.acknowledged, IsEmpty());
}

TEST_F(SenderTest, NobodyThereIsAFailureNotACrash) {
  Receive();
  const net::Url url{.origin = "http://127.0.0.1:" + std::to_string(server_->port()), .target = "/write"};
  server_.reset();
  const SendResult result = Send(Traffic({.series = 10}), {.url = url, .duration = std::chrono::seconds(1)});
  EXPECT_GT(result.connection_failures, 0);
  EXPECT_EQ(result.requests, 0);
}

TEST_F(SenderTest, ChurnBringsSeriesThatWereNeverSentBefore) {
  Receive();
  const SendResult result = Run({.connections = 3, .churn = 100'000, .duration = std::chrono::milliseconds(100)});
  uint64_t next = 0;
  for (const auto& [first, count] : result.acknowledged) {
    EXPECT_GE(first, next);  // no series twice
    next = first + count;
  }
  EXPECT_GT(next, 1000);
}

TEST_F(SenderTest, KeepsToTheRate) {
  Receive();
  const SendResult result = Run({.connections = 2, .rate = 2000, .duration = std::chrono::milliseconds(100)});
  EXPECT_LE(result.series, 200 + 100);  // what is due by the end, and the request that begins with it
}

}  // namespace
}  // namespace mi::loadgen
