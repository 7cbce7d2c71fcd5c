#include "forward/forwarder.h"

#include <future>

#include "base/ascii.h"
#include "base/eventually.h"
#include "base/format.h"
#include "net/testing/fake_request.h"
#include "net/testing/server_fixture.h"

namespace mi::forward {
namespace {

using net::kPatience;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

// A TSDB that records requests and answers what the test sets. Hold() delays its answers until Release().
class FakeTsdb {
 public:
  struct Got {
    std::string path;
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers;
  };

  FakeTsdb() { Start("127.0.0.1:0"); }

  std::string url(std::string_view path = "/write?token=secret") const {
    return format("http://127.0.0.1:{}{}", port_, path);
  }
  // Shown in metrics and the log.
  std::string shown() const { return format("http://127.0.0.1:{}/write", port_); }

  void AnswerWith(net::Response response) {
    const MutexLock lock(mutex_);
    response_ = std::move(response);
  }
  void Hold() {
    const MutexLock lock(mutex_);
    holding_ = true;
  }
  void Release() {
    std::vector<net::Reply> held;
    {
      const MutexLock lock(mutex_);
      holding_ = false;
      held.swap(held_);
    }
    for (net::Reply& reply : held) reply({.status = 204, .content_type = ""});
  }
  void Stop() { server_.reset(); }
  void StartAgain() { Start(format("127.0.0.1:{}", port_)); }

  size_t requests() const {
    const MutexLock lock(mutex_);
    return got_.size();
  }
  // Waits until `count` requests have arrived, whatever the answers were.
  std::vector<Got> AwaitRequests(size_t count) {
    const auto deadline = steady_clock::now() + kPatience;
    const MutexLock lock(mutex_);
    while (got_.size() < count) {
      if (!came_.WaitUntil(mutex_, deadline)) break;
    }
    EXPECT_GE(got_.size(), count);
    return got_;
  }
  std::vector<std::string> AwaitBodies(size_t count) {
    std::vector<std::string> bodies;
    for (Got& got : AwaitRequests(count)) bodies.push_back(std::move(got.body));
    return bodies;
  }

 private:
  void Start(const std::string& address) {
    if (!routed_) router_.Add("/*", net::Role::kAnybody, handler_);
    routed_ = true;
    auto server = net::Server::Create({.listen = address, .threads = 1}, router_, log_);
    ASSERT_TRUE(server.has_value()) << server.error().message();
    server_ = *std::move(server);
    server_->Start();
    port_ = server_->port();
  }

  void Take(const net::Request& request, net::Reply reply) {
    Got got{std::string(request.path()), std::string(request.body()), {}};
    request.ForEachHeader([&](auto name, auto value) { got.headers.emplace_back(name, value); });
    net::Response response;
    {
      const MutexLock lock(mutex_);
      got_.push_back(std::move(got));
      response = response_;
      came_.NotifyAll();
      if (holding_) return held_.push_back(std::move(reply));
    }
    reply(std::move(response));
  }

  mutable Mutex mutex_;
  CondVar came_;
  net::Response response_ GUARDED_BY(mutex_) = {.status = 204, .content_type = ""};
  bool holding_ GUARDED_BY(mutex_) = false;
  std::vector<Got> got_ GUARDED_BY(mutex_);
  std::vector<net::Reply> held_ GUARDED_BY(mutex_);
  net::LambdaHandler handler_{
      [this](const net::Request& request, net::Reply reply) { Take(request, std::move(reply)); },
      [](const net::Request&) { return net::HeadDecision{.max_body_bytes = 64 << 20}; }};
  bool routed_ = false;
  net::Router router_;
  net::LogBook log_;
  uint16_t port_ = 0;
  std::unique_ptr<net::Server> server_;
};

class ForwarderTest : public ::testing::Test {
 protected:
  static constexpr std::string_view kSenderHeaders[][2] = {
      {"Content-Type", "application/x-protobuf"}, {"Content-Encoding", "snappy"}, {"User-Agent", "Prometheus/3.16"}};

  TargetOptions To(const FakeTsdb& tsdb) { return {.url = tsdb.url(), .content_type = "application/x-protobuf"}; }
  void Start(const std::vector<TargetOptions>& targets) {
    auto created = Forwarder::Create(targets, {*log_, *metrics_});
    ASSERT_TRUE(created.has_value()) << created.error().message();
    forwarder_ = *std::move(created);
  }

  std::future<Status> Pass(const net::Request& request, milliseconds patience = kPatience) {
    auto passed = std::make_shared<std::promise<Status>>();
    forwarder_->Prepare(request, tenant_)(steady_clock::now() + patience,
                                          [passed](Status status) { passed->set_value(std::move(status)); });
    return passed->get_future();
  }
  std::future<Status> Pass(std::string body, milliseconds patience = kPatience) {
    net::FakeRequest request("POST", "/api/v1/write", std::move(body));
    for (const auto& [name, value] : kSenderHeaders) request.With(std::string(name), std::string(value));
    return Pass(request, patience);
  }
  static bool IsPending(const std::future<Status>& passed) {
    return passed.wait_for(std::chrono::seconds(0)) != std::future_status::ready;
  }

  double Metric(const std::string& name, const std::string& url, const std::string& reason = {}) {
    telemetry::MetricLabels labels = {{"url", url}, {"target", "1"}};
    if (!reason.empty()) labels.emplace_back("reason", reason);
    return metrics_->GetCounter(name, "", labels).Value();
  }
  double QueueBytes(const FakeTsdb& tsdb) {
    return metrics_->GetGauge("forward_queue_bytes", "", {{"url", tsdb.shown()}, {"target", "1"}}).Value();
  }
  std::unique_ptr<telemetry::Logger> log_ = telemetry::Logger::Null();
  std::unique_ptr<telemetry::Metrics> metrics_ = telemetry::Metrics::Create();
  std::string tenant_;  // of the requests that are passed
  FakeTsdb tsdb_;
  FakeTsdb other_;
  std::unique_ptr<Forwarder> forwarder_;
};

TEST_F(ForwarderTest, ForwardsARequestUnchanged) {
  Start({To(tsdb_)});
  std::string body(300'000, '\0');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 7);
  tenant_ = "7";
  net::FakeRequest request("POST", "/insert/7/prometheus", body);
  request.With("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
  request.With("Content-Encoding", "zstd").With("X-Prometheus-Remote-Write-Version", "2.0.0");
  request.With("User-Agent", "vmagent").With("X-Scope-OrgID", "7:0");
  request.With("Host", "us").With("Connection", "keep-alive, X-Hop").With("X-Hop", "1").With("Expect", "100-continue");
  EXPECT_TRUE(Pass(request).get());
  const FakeTsdb::Got got = tsdb_.AwaitRequests(1)[0];
  EXPECT_EQ(got.path, "/write");
  EXPECT_EQ(got.body, body);
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {"Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"},
           {"Content-Encoding", "zstd"},
           {"X-Prometheus-Remote-Write-Version", "2.0.0"},
           {"User-Agent", "vmagent"},
           {"X-Scope-OrgID", "7:0"}}) {
    EXPECT_THAT(got.headers, Contains(Pair(name, value))) << name;
  }
  for (const char* name : {"Connection", "X-Hop", "Expect"}) {
    EXPECT_THAT(got.headers, Not(Contains(Pair(name, ::testing::_)))) << name;
  }
  EXPECT_THAT(got.headers, Not(Contains(Pair("Host", "us"))));
  EXPECT_TRUE(Eventually([&] { return Metric("forward_sent_total", tsdb_.shown()) == 1; }));
  EXPECT_EQ(Metric("forward_sent_bytes_total", tsdb_.shown()), 300'000);
}

std::vector<std::string> ValuesOf(const FakeTsdb::Got& got, std::string_view header) {
  std::vector<std::string> values;
  for (const auto& [name, value] : got.headers) {
    if (EqualsIgnoringCase(name, header)) values.push_back(value);
  }
  return values;
}

TEST_F(ForwarderTest, StatesTheTenantWhateverTheSenderSaysAboutItsHeaders) {
  Start({To(tsdb_)});
  auto forwarded = [&, sent = size_t{0}](std::string tenant, net::FakeRequest request) mutable {
    tenant_ = std::move(tenant);
    Pass(request);
    return tsdb_.AwaitRequests(++sent).back();
  };
  net::FakeRequest stripped("POST", "/api/v1/write", "x");
  stripped.With("x-scope-orgid", "team").With("Content-Encoding", "zstd");
  stripped.With("Connection", "X-Scope-OrgID, Content-Encoding");
  const FakeTsdb::Got got = forwarded("team", stripped);
  EXPECT_THAT(ValuesOf(got, "X-Scope-OrgID"), ElementsAre("team"));
  EXPECT_THAT(ValuesOf(got, "Content-Encoding"), ElementsAre("zstd"));
  net::FakeRequest in_path("POST", "/insert/7/prometheus", "x");
  EXPECT_THAT(ValuesOf(forwarded("7", in_path), "X-Scope-OrgID"), ElementsAre("7"));
  net::FakeRequest in_path_with_empty_header("POST", "/insert/7/prometheus", "x");
  in_path_with_empty_header.With("X-Scope-OrgID", "");
  EXPECT_THAT(ValuesOf(forwarded("7", in_path_with_empty_header), "X-Scope-OrgID"), ElementsAre("7"));
  EXPECT_THAT(ValuesOf(forwarded("", net::FakeRequest("POST", "/", "x")), "X-Scope-OrgID"), ElementsAre());
}

TEST_F(ForwarderTest, PassesCredentialsOnOnlyToTargetsThatAreToldSo) {
  TargetOptions trusted = To(other_);
  trusted.forward_credentials = true;
  Start({To(tsdb_), trusted});
  net::FakeRequest request("POST", "/api/v1/write", "x");
  request.With("authorization", "Basic c2VuZGVy")
      .With("Cookie", "session=1")
      .With("Proxy-Authorization", "Basic cHJveHk=");
  Pass(request);
  const FakeTsdb::Got without = tsdb_.AwaitRequests(1)[0];
  const FakeTsdb::Got with = other_.AwaitRequests(1)[0];
  EXPECT_THAT(ValuesOf(without, "Authorization"), ElementsAre());
  EXPECT_THAT(ValuesOf(without, "Cookie"), ElementsAre());
  EXPECT_THAT(ValuesOf(with, "Authorization"), ElementsAre("Basic c2VuZGVy"));
  EXPECT_THAT(ValuesOf(with, "Cookie"), ElementsAre("session=1"));
  EXPECT_THAT(ValuesOf(with, "Proxy-Authorization"), ElementsAre()) << "it is for us";
}

TEST_F(ForwarderTest, AddsAContentTypeOnlyIfThereIsNone) {
  Start({{.url = tsdb_.url(), .content_type = "application/x-mine"}});
  Pass(net::FakeRequest("POST", "/", "none"));
  EXPECT_THAT(tsdb_.AwaitRequests(1)[0].headers, Contains(Pair("Content-Type", "application/x-mine")));
  Pass("some");
  EXPECT_THAT(tsdb_.AwaitRequests(2)[1].headers, Contains(Pair("Content-Type", "application/x-protobuf")));
}

TEST_F(ForwarderTest, GivesEveryTargetTheSame) {
  Start({To(tsdb_), To(other_)});
  Pass("a");
  EXPECT_THAT(tsdb_.AwaitBodies(1), ElementsAre("a"));
  EXPECT_THAT(other_.AwaitBodies(1), ElementsAre("a"));
}

TEST_F(ForwarderTest, KeepsTheOrderOfASenderAlsoAfterFailures) {
  Start({To(tsdb_)});
  tsdb_.AnswerWith({.status = 503});
  std::vector<std::string> sent;
  for (int i = 0; i < 50; ++i) {
    sent.push_back(format("{}", i));
    Pass(sent.back());
  }
  const size_t refused = tsdb_.AwaitRequests(2).size();
  tsdb_.AnswerWith({.status = 204, .content_type = ""});
  ASSERT_TRUE(Eventually([&] { return Metric("forward_sent_total", tsdb_.shown()) == 50; }));
  std::vector<std::string> taken = tsdb_.AwaitBodies(52);
  std::erase_if(taken, [&, n = size_t{0}](const std::string&) mutable { return n++ < refused; });
  taken.erase(taken.begin(), std::ranges::find(taken, "1"));
  EXPECT_TRUE(std::ranges::equal(taken, std::span(sent).subspan(1)));
}

TEST_F(ForwarderTest, SendersDoNotWaitForEachOther) {
  Start({To(tsdb_)});
  tsdb_.Hold();
  for (int sender = 0; sender < 40; ++sender) {
    net::FakeRequest request("POST", "/", format("{}", sender));
    request.With("X-Forwarded-For", format("10.0.0.{}", sender));
    Pass(request);
  }
  EXPECT_GE(tsdb_.AwaitRequests(4).size(), 4U) << "over connections of their own";
  tsdb_.Release();
  tsdb_.AwaitRequests(40);
}

TEST_F(ForwarderTest, RetriesWhatMaySucceedLater) {
  Start({To(tsdb_)});
  for (const int status : {500, 503, 429}) {
    tsdb_.AnswerWith({.status = status});
    const size_t before = tsdb_.requests();
    Pass(format("{}", status));
    tsdb_.AwaitRequests(before + 2);
    tsdb_.AnswerWith({.status = 200});
    const double sent = Metric("forward_sent_total", tsdb_.shown());
    EXPECT_TRUE(Eventually([&] { return Metric("forward_sent_total", tsdb_.shown()) > sent; })) << status;
  }
  EXPECT_GE(Metric("forward_retries_total", tsdb_.shown()), 6);
}

TEST_F(ForwarderTest, DropsAndCountsFinalRefusals) {
  Start({To(tsdb_)});
  int sent = 0;
  for (const int status : {400, 401, 404, 409, 413, 302}) {
    tsdb_.AnswerWith({.status = status, .body = "out of order sample\n"});
    Pass("x");
    ++sent;
    EXPECT_TRUE(Eventually([&] { return Metric("forward_dropped_total", tsdb_.shown(), "refused") == sent; }));
  }
  EXPECT_EQ(tsdb_.requests(), 6U);
}

TEST_F(ForwarderTest, SendsEverythingAfterTheTsdbReturns) {
  Start({To(tsdb_)});
  tsdb_.Stop();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(Pass(format("{}", i)).get());
  EXPECT_TRUE(Eventually([&] { return Metric("forward_retries_total", tsdb_.shown()) > 0; }));
  tsdb_.StartAgain();
  EXPECT_EQ(tsdb_.AwaitBodies(10).size(), 10U);
}

TEST_F(ForwarderTest, WaitsAsLongAsRetryAfterSays) {
  Start({To(tsdb_)});
  tsdb_.AnswerWith({.status = 429, .headers = {{"Retry-After", "1"}}});
  Pass("x");
  tsdb_.AwaitRequests(1);
  const auto begun = steady_clock::now();
  tsdb_.AwaitRequests(2);
  EXPECT_GE(steady_clock::now() - begun, milliseconds(900)) << "the first pause would be a tenth of that";
}

TEST_F(ForwarderTest, DropsTheOldestIfItsQueueIsFullAndDelaysNobody) {
  TargetOptions options = To(tsdb_);
  options.queue_bytes = 5 << 20;
  Start({options, To(other_)});
  tsdb_.Hold();
  const auto body = [](int i) { return std::string(1 << 20, static_cast<char>('a' + i)); };
  EXPECT_TRUE(Pass(body(0)).get());
  tsdb_.AwaitRequests(1);  // it is being sent: it stays
  for (int i = 1; i < 10; ++i) EXPECT_TRUE(Pass(body(i)).get());
  EXPECT_EQ(Metric("forward_dropped_total", tsdb_.shown(), "queue_full"), 6);
  EXPECT_EQ(other_.AwaitRequests(10).size(), 10U) << "a slow target does not delay the other";
  EXPECT_LE(QueueBytes(tsdb_), 5 << 20);
  tsdb_.Release();
  const auto taken = tsdb_.AwaitBodies(4);
  EXPECT_EQ(taken[0], body(0));
  EXPECT_EQ(taken[1], body(7));
  EXPECT_EQ(taken[3], body(9));
  EXPECT_TRUE(Eventually([&] { return QueueBytes(tsdb_) == 0; }));
}

// Other senders have lanes of their own: what they bring shows that time has passed for the first one too.
TEST_F(ForwarderTest, AFullQueueDoesNotShortenThePauseAfterAFailure) {
  TargetOptions options = To(tsdb_);
  options.queue_bytes = 1 << 20;
  Start({options});
  tsdb_.AnswerWith({.status = 503, .headers = {{"Retry-After", "60"}}});
  const std::string body(700 << 10, 'x');
  Pass(body);
  ASSERT_TRUE(Eventually([&] { return Metric("forward_retries_total", tsdb_.shown()) == 1; }));
  for (int i = 0; i < 5; ++i) Pass(body);
  EXPECT_EQ(Metric("forward_dropped_total", tsdb_.shown(), "queue_full"), 5);
  for (int sender = 0; sender < 20; ++sender) {
    net::FakeRequest request("POST", "/", format("{}", sender));
    request.With("X-Forwarded-For", format("10.0.0.{}", sender));
    Pass(request);
  }
  const std::vector<std::string> bodies = tsdb_.AwaitBodies(6);
  EXPECT_EQ(std::ranges::count(bodies, body), 1);
}

TEST_F(ForwarderTest, DropsARequestLargerThanItsQueue) {
  TargetOptions options = To(tsdb_);
  options.queue_bytes = 1 << 20;
  Start({options});
  tsdb_.Hold();
  Pass("small");
  EXPECT_TRUE(Pass(std::string(2 << 20, 'x')).get());
  EXPECT_EQ(Metric("forward_dropped_total", tsdb_.shown(), "queue_full"), 1);
  tsdb_.Release();
  EXPECT_THAT(tsdb_.AwaitBodies(1), ElementsAre("small"));
}

// Its sender would repeat it forever.
TEST_F(ForwarderTest, DropsARequestLargerThanItsQueueEvenIfItBlocks) {
  TargetOptions options = To(tsdb_);
  options.queue_bytes = 1 << 20;
  options.when_full = WhenFull::kBlock;
  Start({options});
  EXPECT_TRUE(Pass(std::string(2 << 20, 'x')).get());
  EXPECT_EQ(Metric("forward_dropped_total", tsdb_.shown(), "queue_full"), 1);
  EXPECT_TRUE(Pass("small").get());
  EXPECT_THAT(tsdb_.AwaitBodies(1), ElementsAre("small"));
}

TEST_F(ForwarderTest, LetsTheSenderWaitForRoomIfItBlocks) {
  TargetOptions options = To(tsdb_);
  options.queue_bytes = 2 << 20;
  options.when_full = WhenFull::kBlock;
  Start({options, To(other_)});
  tsdb_.Hold();
  const std::string large(1'500'000, 'x');
  EXPECT_TRUE(Pass(large).get());
  auto second = Pass(large);
  EXPECT_TRUE(IsPending(second));
  EXPECT_EQ(other_.AwaitRequests(1).size(), 1U) << "targets that do not block get it only when it is certain";
  tsdb_.Release();
  EXPECT_TRUE(second.get());
  EXPECT_EQ(tsdb_.AwaitRequests(2).size(), 2U);
  EXPECT_EQ(other_.AwaitRequests(2).size(), 2U);
  EXPECT_EQ(Metric("forward_dropped_total", tsdb_.shown(), "queue_full"), 0);
}

TEST_F(ForwarderTest, ReportsATimeOutAndForwardsNothing) {
  TargetOptions options = To(tsdb_);
  options.queue_bytes = 2 << 20;
  options.when_full = WhenFull::kBlock;
  Start({options, To(other_)});
  tsdb_.Hold();
  const std::string large(1'500'000, 'x');
  EXPECT_TRUE(Pass(large).get());
  const Status late = Pass(large, milliseconds(1)).get();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), Errc::kOverloaded);
  EXPECT_THAT(late.error().message(), HasSubstr("remote.write.queue_bytes"));
  EXPECT_THAT(late.error().message(), Not(HasSubstr("secret")));
  auto stopped = Pass(large);
  EXPECT_TRUE(IsPending(stopped));
  forwarder_->ExpireAll();
  EXPECT_FALSE(stopped.get());
  tsdb_.Release();
  tsdb_.AwaitRequests(1);
  EXPECT_EQ(other_.AwaitRequests(1).size(), 1U);
}

TEST_F(ForwarderTest, AdmitsSmallRequestsWhenALargeOneBeforeThemGivesUp) {
  TargetOptions options = To(tsdb_);
  options.queue_bytes = 2 << 20;
  options.when_full = WhenFull::kBlock;
  Start({options});
  tsdb_.Hold();
  const std::string large(1'500'000, 'x');
  EXPECT_TRUE(Pass(large).get());
  auto expires = Pass(large, milliseconds(100));
  auto small = Pass("small");
  EXPECT_FALSE(expires.get());
  EXPECT_TRUE(small.get()) << "there is room for it, although nothing was sent meanwhile";
  tsdb_.Release();
}

TEST_F(ForwarderTest, PreparesNoMoreThanItsQueuesCouldHold) {
  TargetOptions options = To(tsdb_);
  options.queue_bytes = 1 << 20;
  Start({options});
  net::FakeRequest request("POST", "/", std::string(700'000, 'x'));
  auto first = forwarder_->Prepare(request, "");  // waits to become durable
  bool passed = false;
  forwarder_->Prepare(request, "")(steady_clock::now(), [&](const Status& status) { passed = status.has_value(); });
  EXPECT_TRUE(passed);
  EXPECT_EQ(Metric("forward_dropped_total", tsdb_.shown(), "queue_full"), 1);
  first = nullptr;  // refused in the end: its room is free again
  EXPECT_TRUE(Pass(request).get());
  EXPECT_EQ(tsdb_.AwaitRequests(1).size(), 1U);
  EXPECT_EQ(Metric("forward_dropped_total", tsdb_.shown(), "queue_full"), 1);
}

TEST_F(ForwarderTest, ChangesItsTargetsWhileRunning) {
  Start({});
  EXPECT_FALSE(forwarder_->Prepare(net::FakeRequest("POST", "/", "x"), ""));
  EXPECT_TRUE(forwarder_->Reconfigure({To(tsdb_)}));
  tsdb_.Hold();
  Pass("a");
  tsdb_.AwaitRequests(1);
  Pass("b");
  TargetOptions changed = To(tsdb_);
  changed.queue_bytes = 1 << 20;
  EXPECT_TRUE(forwarder_->Reconfigure({To(other_), changed}));
  Pass("c");
  EXPECT_THAT(other_.AwaitBodies(1), ElementsAre("c"));
  tsdb_.Release();
  EXPECT_THAT(tsdb_.AwaitBodies(3), ElementsAre("a", "b", "c")) << "the queue was kept";

  tsdb_.Hold();
  Pass("d");
  tsdb_.AwaitRequests(4);
  EXPECT_FALSE(forwarder_->Reconfigure({To(other_), {.url = "nonsense"}})) << "changes nothing";
  Pass("e");
  EXPECT_TRUE(forwarder_->Reconfigure({To(other_)}));
  EXPECT_EQ(Metric("forward_dropped_total", tsdb_.shown(), "stopped"), 2);
  tsdb_.Release();
}

TEST_F(ForwarderTest, DrainSendsWhatWaits) {
  Start({To(tsdb_)});
  for (int i = 0; i < 100; ++i) Pass(format("{}", i));
  forwarder_->Drain(kPatience);
  forwarder_->Stop();
  EXPECT_EQ(tsdb_.requests(), 100U);
  Pass("late");
  EXPECT_EQ(Metric("forward_dropped_total", tsdb_.shown(), "stopped"), 1);
}

TEST_F(ForwarderTest, DrainEndsInTimeIfTheTsdbDoesNotAnswer) {
  Start({To(tsdb_)});
  tsdb_.Hold();
  Pass("a");
  tsdb_.AwaitRequests(1);
  Pass("b");
  forwarder_->Drain(milliseconds(10));
  forwarder_->Stop();
  EXPECT_EQ(Metric("forward_dropped_total", tsdb_.shown(), "stopped"), 2);
  tsdb_.Release();
}

TEST_F(ForwarderTest, CountsSeparatelyUrlsThatDifferOnlyInTheQuery) {
  TargetOptions second = To(tsdb_);
  second.url = tsdb_.url("/write?token=other");
  Start({To(tsdb_), second});
  Pass("x");
  tsdb_.AwaitRequests(2);
  for (const char* number : {"1", "2"}) {
    auto& sent = metrics_->GetCounter("forward_sent_total", "", {{"url", tsdb_.shown()}, {"target", number}});
    EXPECT_TRUE(Eventually([&] { return sent.Value() == 1; })) << number;
  }
  EXPECT_TRUE(forwarder_->Reconfigure({second})) << "keeps its number";
  Pass("y");
  tsdb_.AwaitRequests(3);
  auto& sent = metrics_->GetCounter("forward_sent_total", "", {{"url", tsdb_.shown()}, {"target", "2"}});
  EXPECT_TRUE(Eventually([&] { return sent.Value() == 2; }));
}

TEST_F(ForwarderTest, LogsAnUnstableTsdbAtMostADozenTimes) {
  net::LogBook log;
  auto created = Forwarder::Create({To(tsdb_)}, {log, *metrics_});
  forwarder_ = *std::move(created);
  for (int i = 0; i < 20; ++i) {
    tsdb_.AnswerWith({.status = 503, .headers = {{"Retry-After", "0"}}});
    const size_t before = tsdb_.requests();
    Pass("x");
    tsdb_.AwaitRequests(before + 1);
    tsdb_.AnswerWith({.status = 204, .content_type = ""});
    EXPECT_TRUE(Eventually([&] { return QueueBytes(tsdb_) == 0; }));
  }
  EXPECT_EQ(Metric("forward_sent_total", tsdb_.shown()), 20);
  forwarder_.reset();
  log.Write(telemetry::Level::kInfo, "end");
  int lines = 0;
  while (log.Next() != "end") ++lines;
  EXPECT_LE(lines, 10) << "the outages 1, 2, 4, 8, 16, and their ends";
}

TEST_F(ForwarderTest, SendsPointsAndChangesItsTarget) {
  auto send = *Forwarder::Create({}, {*log_, *metrics_});
  send->Send("[nowhere]");
  EXPECT_TRUE(send->Reconfigure({{.url = tsdb_.url("/api/put"), .content_type = "application/json"}}));
  send->Send("[1]");
  const FakeTsdb::Got got = tsdb_.AwaitRequests(1)[0];
  EXPECT_EQ(got.body, "[1]");
  EXPECT_THAT(got.headers, Contains(Pair("Content-Type", "application/json")));
  EXPECT_TRUE(send->Reconfigure({{.url = other_.url("/api/put"), .content_type = "application/json"}}));
  send->Send("[2]");
  EXPECT_THAT(other_.AwaitBodies(1), ElementsAre("[2]"));
  send->Drain(kPatience);
}

}  // namespace
}  // namespace mi::forward
