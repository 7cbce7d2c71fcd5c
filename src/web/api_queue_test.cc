// Queries that wait for a thread, or take long.
#include <array>
#include <atomic>
#include <future>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "web/testing/api_fixture.h"

namespace mi::web {
namespace {

using net::FakeRequest;
using net::Received;
using testing::HasSubstr;

// Holds the query threads inside of queries until it lets them go.
class Held {
 public:
  CatalogState Enter() {
    inside_.TryPush(true);
    go_.wait();
    return {};
  }
  void AwaitOneInside() { inside_.PopUntil(std::chrono::steady_clock::now() + std::chrono::seconds(30)); }
  void LetGo() { let_go_.set_value(); }

 private:
  BoundedQueue<bool> inside_{1000};
  std::promise<void> let_go_;
  std::shared_future<void> go_ = let_go_.get_future().share();
};

// An API whose queries from 127.0.0.1 are held.
class Queue : public QueryApi {
 protected:
  ~Queue() override { api_.reset(); }
  void Begin(ApiOptions options) {
    options.version = "0.1.0";
    api_ = std::make_unique<Api>(options, ApiDependencies{.snapshot = [this] { return fleet_; },
                                                          .state = [this] { return held_.Enter(); },
                                                          .memory = memory_,
                                                          .metrics = *metrics_,
                                                          .clock = clock_});
    api_->RegisterRoutes(router_);
  }
  net::FakeAnswer Ask(std::string_view target, std::string_view peer = "127.0.0.1") {
    FakeRequest request("GET", target);
    request.SetPeer(peer);
    return net::Ask(*router_.Find(request.path())->handler, request);
  }

  Held held_;
};

TEST_F(Queue, RefusesWhatDoesNotFitAndAnswersTheOthers) {
  Begin({.threads = 1, .queue_capacity = 2, .queue_share = 1});
  net::FakeAnswer running = Ask("/api/v1/labels");
  held_.AwaitOneInside();
  net::FakeAnswer queued = Ask("/api/v1/labels");
  const Received own = Receive(Ask("/api/v1/labels").Take());
  EXPECT_EQ(own.status, 503);
  EXPECT_EQ(own.headers.at("Retry-After"), "1");
  EXPECT_THAT(own.body, HasSubstr("1 queries of this client wait already, of 2 in all"));
  net::FakeAnswer other = Ask("/api/v1/labels", "127.0.0.2");
  EXPECT_EQ(Receive(Ask("/api/v1/labels", "127.0.0.3").Take()).body,
            R"({"status":"error","errorType":"unavailable","error":"2 queries wait already"})");
  held_.LetGo();
  for (net::FakeAnswer* answer : {&running, &queued, &other}) EXPECT_EQ(answer->Take().status, 200);
}

TEST_F(Queue, GivesAClientOneShareWhateverTenantsItNames) {
  Begin({.threads = 1, .queue_capacity = 9, .queue_share = 3});
  net::FakeAnswer running = Ask("/api/v1/labels");
  held_.AwaitOneInside();
  std::vector<net::FakeAnswer> queued;
  for (const char* tenant : {"nobody-1", "nobody-2", "team-b"}) {
    queued.push_back(Ask(format("/select/{}/prometheus/api/v1/labels", tenant)));
    EXPECT_FALSE(queued.back().arrived()) << tenant;
  }
  for (const char* tenant : {"nobody-2", "team-b", "0", "team-b%7Cnobody-3"}) {
    const Received refused = Receive(Ask(format("/select/{}/prometheus/api/v1/labels", tenant)).Take());
    EXPECT_THAT(refused.body, HasSubstr("3 queries of this client wait already, of 9 in all")) << tenant;
  }
  held_.LetGo();
  EXPECT_EQ(queued[1].Take().status, 200);
  EXPECT_TRUE(queued[2].arrived());  // because tenants that do not exist take turns as one
}

TEST_F(Queue, CountsTheTimeInTheQueue) {
  Begin({.threads = 1});
  net::FakeAnswer running = Ask("/api/v1/labels");
  held_.AwaitOneInside();
  net::FakeAnswer queued = Ask("/api/v1/labels");
  net::FakeAnswer impatient = Ask("/api/v1/labels?timeout=1m");  // no longer than the service's own time
  clock_.Advance(std::chrono::seconds(30));
  held_.LetGo();
  EXPECT_EQ(running.Take().status, 503);
  EXPECT_THAT(queued.Take().body, HasSubstr(R"("errorType":"timeout","error":"the answer took longer than 30 s;)"));
  EXPECT_THAT(impatient.Take().body, HasSubstr("the answer took longer than 30 s;"));
}

TEST_F(Queue, StopsAtOnceWhateverWaits) {
  Begin({.threads = 1});
  net::FakeAnswer running = Ask("/api/v1/labels");
  held_.AwaitOneInside();
  std::vector<net::FakeAnswer> queued;
  for (int i = 0; i < 200; ++i) queued.push_back(Ask("/api/v1/labels"));
  api_->Stop();
  for (net::FakeAnswer& answer : queued) {
    ASSERT_TRUE(answer.arrived());
    EXPECT_THAT(answer.Take().body, HasSubstr("the service is stopping"));
  }
  EXPECT_EQ(Ask("/api/v1/labels").Take().status, 503);
  EXPECT_FALSE(running.arrived());
  held_.LetGo();
  EXPECT_EQ(running.Take().status, 503);
}

// A catalogue in which a step takes long: the clock moves when it is asked for a value.
class SlowSnapshot final : public query::FakeSnapshot {
 public:
  explicit SlowSnapshot(std::function<void()> step) : step_(std::move(step)) {}
  void ForEachValue(std::string_view name,
                    const std::function<bool(std::string_view, catalog::PairId)>& visit) const override {
    bool more = true;
    do {
      FakeSnapshot::ForEachValue(name, [&](std::string_view value, catalog::PairId pair) {
        ++steps;
        step_();
        return more = visit(value, pair);
      });
    } while (more && repeat);
  }
  bool repeat = false;  // for ever
  mutable std::atomic<int> steps = 0;

 private:
  const std::function<void()> step_;
};

TEST_F(QueryApi, GivesUpAQueryThatTakesTooLong) {
  auto slow = std::make_shared<SlowSnapshot>([this] { clock_.Advance(std::chrono::seconds(10)); });
  for (int i = 0; i < 1000; ++i) slow->Add({{"__name__", "up"}, {"i", std::to_string(i)}});
  fleet_ = slow;
  Refuses("/api/v1/series?match[]={i=~'1.*2'}", 503, "timeout",
          "the answer took longer than 30 s; ask for less, with a match[] that fewer series match, or with fewer "
          "regular expressions");
  EXPECT_LT(slow->steps, 10);
  EXPECT_EQ(Get("/api/v1/label/i/values").headers.at("Retry-After"), "1");
  EXPECT_LT(slow->steps, 100);
  Gives("/api/v1/labels?match[]=up{i='7'}", R"(["__name__","i"])");
}

TEST_F(QueryApi, TakesPrometheusTimeout) {
  auto slow = std::make_shared<SlowSnapshot>([this] { clock_.Advance(std::chrono::milliseconds(100)); });
  for (int i = 0; i < 100; ++i) slow->Add({{"__name__", "up"}, {"i", std::to_string(i)}});
  fleet_ = slow;
  EXPECT_EQ(Get("/api/v1/series?match[]={i=~'1.*2'}&timeout=1m30s").status, 200);
  EXPECT_THAT(Get("/api/v1/series?match[]={i=~'1.*2'}&timeout=2.5").body,
              HasSubstr("the answer took longer than 2.5 s"));
  for (const char* past : {"0", "-1", "-13835058055.282", "-1e300"}) {
    EXPECT_THAT(Get(format("/api/v1/labels?timeout={}", past)).body, HasSubstr("the answer took longer than 0 s"));
  }
  Refuses("/api/v1/query?query=1&timeout=soon", 400, "bad_data",
          R"(invalid parameter \"timeout\": cannot parse \"soon\" to a valid duration)");
}

// Runs until somebody ends it.
class EndlessQuery : public QueryApi {
 protected:
  EndlessQuery() {
    for (int i = 0; i < 10; ++i) slow_->Add({{"__name__", "up"}, {"i", std::to_string(i)}});
    slow_->repeat = true;
    fleet_ = slow_;
  }
  ~EndlessQuery() override { api_.reset(); }
  net::HeadDecision Begin(net::FakeAnswer& answer, std::string_view peer = "127.0.0.1") {
    FakeRequest request("GET", "/api/v1/labels?match[]={i=~'1.*2'}");
    request.SetPeer(peer);
    net::HeadDecision head = Router().Find(request.path())->handler->Head(request);
    head.handle(request, answer.reply());
    return head;
  }
  void AwaitBegun() { begun_.get_future().wait(); }

  std::promise<void> begun_;
  std::atomic<bool> first_ = true;
  std::shared_ptr<SlowSnapshot> slow_ = std::make_shared<SlowSnapshot>([this] {
    if (first_.exchange(false)) begun_.set_value();
    std::this_thread::yield();
  });
};

TEST_F(EndlessQuery, EndsWhenItsClientHasGone) {
  net::FakeAnswer running;
  net::FakeAnswer queued;
  const net::HeadDecision first = Begin(running);
  const net::HeadDecision second = Begin(queued);
  AwaitBegun();
  *first.abandoned = true;
  *second.abandoned = true;
  EXPECT_THAT(running.Take().body, HasSubstr("the client has closed the connection"));
  EXPECT_THAT(queued.Take().body, HasSubstr("the client has closed the connection"));
}

TEST_F(EndlessQuery, DoesNotDelayOtherClientsHoweverOftenItIsAsked) {
  std::array<net::FakeAnswer, 8> answers;
  std::vector<net::HeadDecision> heads;
  for (net::FakeAnswer& answer : answers) heads.push_back(Begin(answer));
  AwaitBegun();
  FakeRequest quick("GET", "/api/v1/query?query=1%2B1");
  quick.SetPeer("127.0.0.2");
  EXPECT_EQ(Send(Router(), quick).status, 200);
  for (const net::FakeAnswer& answer : answers) EXPECT_FALSE(answer.arrived());
  for (const net::HeadDecision& head : heads) *head.abandoned = true;
}

TEST_F(EndlessQuery, EndsWhenTheServiceStops) {
  net::FakeAnswer answer;
  Begin(answer);
  AwaitBegun();
  api_.reset();
  const Received received = Receive(answer.Take());
  EXPECT_EQ(received.status, 503);
  EXPECT_THAT(received.body, HasSubstr("the service is stopping"));
}

}  // namespace
}  // namespace mi::web
