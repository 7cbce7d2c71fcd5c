// Requests that the write handler hands on.
#include "receive/testing/write_handler_fixture.h"

namespace mi::receive {
namespace {

// Keeps the bodies. Calls back at once, or when the test says so.
class FakeForwarder {
 public:
  Forward operator()(const net::Request& request, const model::Tenant& tenant) {
    tenants.push_back(tenant.name());
    return [this, body = std::string(request.body())](std::chrono::steady_clock::time_point, Forwarded done) {
      bodies.push_back(body);
      if (outcome) {
        done(*outcome);
      } else {
        waiting.push_back(std::move(done));
      }
    };
  }
  std::optional<Status> outcome = Status();
  std::vector<std::string> tenants;
  std::vector<std::string> bodies;
  std::vector<Forwarded> waiting;
};

class WriteForwardingTest : public WriteHandlerTest {};

TEST_F(WriteForwardingTest, ForwardsAcceptedRequestsOnceAndUnchanged) {
  FakeForwarder fake;
  forwarder_ = std::ref(fake);
  const std::string body = Body({Up("a")});
  publisher_.settle_at_once = false;
  auto answer = Send(body);
  EXPECT_TRUE(fake.bodies.empty()) << "not before it is durable";
  publisher_.SettleAll();
  EXPECT_EQ(answer.Take().status, 204);
  EXPECT_EQ(SendNow(body).status, 204) << "known, so nothing is published";
  EXPECT_EQ(fake.bodies, (std::vector{body, body}));
  publisher_.settle_at_once = true;
  const std::string partly = Body({Up("b"), {.labels = {{"job", "nameless"}}, .samples = {{1, 1}}}});
  EXPECT_EQ(SendNow(partly).status, 400);
  EXPECT_EQ(fake.bodies.back(), partly);
}

TEST_F(WriteForwardingTest, TellsTheForwarderTheTenantOfThePathOrTheHeader) {
  FakeForwarder fake;
  forwarder_ = std::ref(fake);
  EXPECT_EQ(SendNow(Body({Up("a")}), {}, "/insert/7:0/prometheus").status, 204);
  EXPECT_EQ(SendNow(Body({Up("a")}), {{"X-Scope-OrgID", "team"}}).status, 204);
  EXPECT_EQ(SendNow(Body({Up("a")})).status, 204);
  EXPECT_EQ(fake.tenants, (std::vector<std::string>{"7", "team", ""}));
}

TEST_F(WriteForwardingTest, DoesNotForwardUnreadableRequestsOrThoseThatTheSenderRepeats) {
  FakeForwarder fake;
  forwarder_ = std::ref(fake);
  publisher_.settle_at_once = false;
  auto answer = Send(Body({Up("a")}));
  publisher_.SettleAll({.failures = {{0, Error(Errc::kUnavailable, "away")}}});
  EXPECT_EQ(answer.Take().status, 503);
  EXPECT_EQ(SendNow("garbage").status, 400);
  EXPECT_TRUE(fake.bodies.empty());
}

TEST_F(WriteForwardingTest, AnswersAfterForwardingAnd503IfThatFailed) {
  FakeForwarder fake;
  fake.outcome.reset();
  forwarder_ = std::ref(fake);
  auto first = Send(Body({Up("a")}));
  auto second = Send(Body({Up("a")}));
  EXPECT_FALSE(first.arrived() || second.arrived());
  fake.waiting[0]({});
  fake.waiting[1](Fail(Errc::kOverloaded, "no room (remote.write.queue_bytes)"));
  EXPECT_EQ(first.Take().status, 204);
  const net::Response refused = second.Take();
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(net::HeaderOf(refused, "Retry-After"), "5");
  EXPECT_THAT(refused.body, testing::HasSubstr("remote.write.queue_bytes"));
}

TEST_F(WriteForwardingTest, ForwardsLongRequestsToo) {
  FakeForwarder fake;
  forwarder_ = std::ref(fake);
  const std::string by_bytes = Body(UpTo(600, 3000));
  const std::string by_series = Body(UpTo(5000, 8));
  EXPECT_EQ(SendNow(by_bytes, {}, "/insert/7/prometheus").status, 204);
  EXPECT_EQ(SendNow(by_series).status, 204);
  EXPECT_EQ(SendNow(codec::Compress(Compression::kSnappy, std::string(2 << 20, '\x0b'))).status, 400);
  EXPECT_EQ(fake.bodies, (std::vector{by_bytes, by_series}));
}

}  // namespace
}  // namespace mi::receive
