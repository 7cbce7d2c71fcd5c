#include "web/api.h"

#include "base/bounded_queue.h"
#include "base/format.h"
#include "codec/compression.h"
#include "net/testing/fake_request.h"
#include "query/testing/fake_snapshot.h"
#include "web/json_list.h"

namespace mi::web {
namespace {

using net::FakeRequest;
using net::Received;
using testing::HasSubstr;

constexpr int64_t kHour = 3'600'000;
constexpr int64_t kNow = 1'700'000'000'000;

class QueryApi : public testing::Test {
 protected:
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
  Received Get(std::string_view target) { return Send(Router(), FakeRequest("GET", target)); }
  Received Post(std::string_view target, std::string form) {
    return Send(Router(), FakeRequest("POST", target).WithForm(std::move(form)));
  }
  void Gives(std::string_view target, std::string_view data) {
    const Received received = Get(target);
    EXPECT_EQ(received.status, 200) << target;
    EXPECT_EQ(received.content_type, "application/json");
    EXPECT_EQ(received.body, format(R"({{"status":"success","data":{}}})", data)) << target;
  }
  void Refuses(std::string_view target, int status, std::string_view type, std::string_view message) {
    const Received received = Get(target);
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

constexpr std::string_view kUpA = R"({"__name__":"up","instance":"a:1","job":"api"})";
constexpr std::string_view kUpB = R"({"__name__":"up","instance":"b:1","job":"db"})";
constexpr std::string_view kHttp = R"({"__name__":"http_requests_total","code":"200","job":"api"})";
constexpr std::string_view kBatch = R"({"__name__":"batch.runs","cluster.name":"c\n\"1\""})";

TEST_F(QueryApi, ListsSeriesOfAllTenantsMerged) {
  Gives("/api/v1/series?match[]=up", format("[{},{}]", kUpA, kUpB));
  Gives("/api/v1/series?match%5B%5D=up%7Bjob%3D%22db%22%7D", format("[{}]", kUpB));
  Gives("/api/v1/series?match[]=up{job='db'}&match[]={code=~'2..'}&match[]={instance='b:1'}",
        format("[{},{}]", kUpB, kHttp));
  Gives("/api/v1/series?match[]={\"batch.runs\"}", format("[{}]", kBatch));
  Gives("/api/v1/series?match[]=nothing", "[]");
}

TEST_F(QueryApi, AnswersForTheRequestedTenantsOnly) {
  Gives("/select/team-b/prometheus/api/v1/series?match[]={__name__!=''}", format("[{},{}]", kUpA, kBatch));
  Gives("/select/0/prometheus/api/v1/series?match[]=up", format("[{},{}]", kUpA, kUpB));
  Gives("/select/0:0%7Cteam-b/prometheus/api/v1/labels", R"(["__name__","cluster.name","code","instance","job"])");
  auto with_header = [&](std::string_view target, std::string tenant) {
    return Send(Router(), FakeRequest("GET", target).With("X-Scope-OrgID", std::move(tenant)));
  };
  EXPECT_EQ(with_header("/api/v1/labels", "team-b").body,
            R"({"status":"success","data":["__name__","cluster.name","instance","job"]})");
  EXPECT_EQ(with_header("/api/v1/label/job/values", "0|team-b").body, R"({"status":"success","data":["api","db"]})");
  EXPECT_EQ(with_header("/api/v1/labels", "nobody").body, R"({"status":"success","data":[]})");
  EXPECT_EQ(with_header("/api/v1/labels", "a b").status, 400);
  EXPECT_EQ(with_header("/select/team-b/prometheus/api/v1/labels", "team-b").status, 200);
  const Received differ = with_header("/select/team-b/prometheus/api/v1/labels", "team-c");
  EXPECT_EQ(differ.status, 400);
  EXPECT_THAT(differ.body, HasSubstr(R"(the path asks for tenant \"team-b\", X-Scope-OrgID for \"team-c\")"));
}

TEST_F(QueryApi, AnswersUnderEachPrefixToGetAndPost) {
  const std::string want = format(R"({{"status":"success","data":[{}]}})", kUpB);
  for (const std::string prefix : {"", "/prometheus", "/select/0/prometheus"}) {
    EXPECT_EQ(Get(prefix + "/api/v1/series?match[]=up{job='db'}").body, want);
    EXPECT_EQ(Post(prefix + "/api/v1/series", "match%5B%5D=up%7Bjob%3D%22db%22%7D").body, want);
  }
  EXPECT_EQ(Post("/api/v1/series?match[]=up{job='db'}", "").body, want);
  // The body's value comes first; lists are joined.
  EXPECT_EQ(Post("/api/v1/label/job/values?limit=2&match[]=up{job='api'}", "limit=1&match[]=up{job='db'}").body,
            R"({"status":"success","data":["api"],"warnings":["results truncated due to limit"]})");
  const Received json = Send(Router(), FakeRequest("POST", "/api/v1/series").With("Content-Type", "application/json"));
  EXPECT_EQ(json.status, 400);
}

TEST_F(QueryApi, SortsLabelNamesAndValuesAndThenCutsThem) {
  Gives("/api/v1/labels", R"(["__name__","cluster.name","code","instance","job"])");
  Gives("/api/v1/labels?match[]=up", R"(["__name__","instance","job"])");
  Gives("/api/v1/label/__name__/values", R"(["batch.runs","http_requests_total","up"])");
  Gives("/api/v1/label/job/values?match[]=http_requests_total", R"(["api"])");
  Gives("/api/v1/label/nothing/values", "[]");
  Gives("/api/v1/label/U__cluster_2e_name/values", R"(["c\n\"1\""])");
  Gives("/api/v1/label/cluster.name/values", R"(["c\n\"1\""])");
  Gives("/api/v1/label/cluster%2ename/values", R"(["c\n\"1\""])");
  Gives("/api/v1/label/a%2Fb/values", "[]");
  Gives("/api/v1/labels?limit=0&unknown=x", R"(["__name__","cluster.name","code","instance","job"])");
  EXPECT_EQ(Get("/api/v1/labels?limit=2").body,
            R"({"status":"success","data":["__name__","cluster.name"],"warnings":["results truncated due to limit"]})");
  EXPECT_EQ(Get("/api/v1/label/__name__/values?limit=1").body,
            R"({"status":"success","data":["batch.runs"],"warnings":["results truncated due to limit"]})");
  EXPECT_EQ(Get("/api/v1/series?match[]=up&limit=1").body,
            format(R"({{"status":"success","data":[{}],"warnings":["results truncated due to limit"]}})", kUpA));
  Gives("/api/v1/series?match[]=up&limit=2", format("[{},{}]", kUpA, kUpB));
}

TEST_F(QueryApi, AnswersForTheTimeRangeOnly) {
  Gives(format("/api/v1/series?match[]=up&start={}&end={}", kNow / 1000 - 60, kNow / 1000),
        format("[{},{}]", kUpA, kUpB));
  Gives(format("/api/v1/series?match[]=up&end={}", kNow / 1000 - 7200), "[]");
  Gives("/api/v1/labels?start=2033-05-18T03:33:20Z", "[]");
  Gives(format("/api/v1/label/job/values?start={}", kNow / 1000), R"(["api","db"])");
  // An end before the start is no mistake to Prometheus: nothing matches.
  const std::string inverted = format("start={}&end={}", kNow / 1000, kNow / 1000 - 60);
  Gives("/api/v1/series?match[]=up&" + inverted, "[]");
  Gives("/api/v1/labels?" + inverted, "[]");
  Gives("/api/v1/label/job/values?" + inverted, "[]");
}

TEST_F(QueryApi, RefusesWithPrometheusMessages) {
  Refuses("/api/v1/series", 400, "bad_data", "no match[] parameter provided");
  Refuses("/api/v1/series?match[]=up{", 400, "bad_data",
          R"(invalid parameter \"match[]\": 1:4: parse error: unexpected end of input inside braces)");
  Refuses("/api/v1/series?match[]={}", 400, "bad_data",
          R"(invalid parameter \"match[]\": match[] must contain at least one non-empty matcher)");
  Refuses("/api/v1/labels?match[]=", 400, "bad_data",
          R"(invalid parameter \"match[]\": unknown position: parse error: unexpected end of input)");
  Refuses("/api/v1/labels?start=x", 400, "bad_data",
          R"(invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a valid timestamp)");
  Refuses("/api/v1/labels?limit=-1", 400, "bad_data", R"(invalid parameter \"limit\": limit must be non-negative)");
  Refuses("/api/v1/label//values", 400, "bad_data", R"(invalid label name: \"\")");
  Refuses("/api/v1/metadata?limit=x", 400, "bad_data", "limit must be a number");
  Refuses("/api/v1/metadata?limit_per_metric=x", 400, "bad_data", "limit_per_metric must be a number");
}

TEST_F(QueryApi, RefusesUnknownPathsAndMethods) {
  EXPECT_EQ(Get("/api/v1/label/job").status, 404);
  EXPECT_EQ(Get("/api/v1/label/job%2Fvalues").status, 404);
  EXPECT_EQ(Get("/api/v1/label%2Fjob/values").status, 404);
  EXPECT_EQ(Get("/api/v1/%6Cabels").status, 404);
  EXPECT_EQ(Get("/api/v1/nothing").status, 404);
  const Received put = Send(Router(), FakeRequest("PUT", "/api/v1/labels"));
  EXPECT_EQ(put.status, 405);
  EXPECT_EQ(put.headers.at("Allow"), "GET, HEAD, POST, OPTIONS");
  const Received large = Post("/api/v1/series", std::string((1 << 20) + 1, 'x'));
  EXPECT_EQ(large.status, 413);
  EXPECT_THAT(large.body, HasSubstr("limit 1 MiB"));
}

TEST_F(QueryApi, ReturnsMetadataByFamily) {
  constexpr std::string_view kHttpMeta = R"("http_requests_total":[{"type":"counter","unit":"1","help":"Requests."}])";
  constexpr std::string_view kUpMeta =
      R"("up":[{"type":"gauge","unit":"","help":"Whether \"it\" is up."},{"type":"gauge","unit":"","help":"Another text."}])";
  Gives("/api/v1/metadata", format("{{{},{}}}", kHttpMeta, kUpMeta));
  Gives("/api/v1/metadata?metric=up", format("{{{}}}", kUpMeta));
  Gives("/api/v1/metadata?limit=2&limit_per_metric=2", format("{{{},{}}}", kHttpMeta, kUpMeta));
  Gives("/api/v1/metadata?limit=-1&limit_per_metric=0", format("{{{},{}}}", kHttpMeta, kUpMeta));
  Gives("/api/v1/metadata?metric=nothing", "{}");
  const auto gives_a_part = [&](std::string_view target, std::string_view data) {
    EXPECT_EQ(Get(target).body,
              format(R"({{"status":"success","data":{},"warnings":["results truncated due to limit"]}})", data))
        << target;
  };
  gives_a_part("/api/v1/metadata?limit=1", format("{{{}}}", kHttpMeta));
  gives_a_part("/api/v1/metadata?limit=0", "{}");
  gives_a_part("/api/v1/metadata?metric=up&limit_per_metric=1",
               R"({"up":[{"type":"gauge","unit":"","help":"Whether \"it\" is up."}]})");
}

TEST_F(QueryApi, EvaluatesExpressionsWithoutSamples) {
  Gives("/api/v1/query?query=1%2B1", R"({"resultType":"scalar","result":[1700000000,"2"]})");
  Gives("/api/v1/query?query=1/3&time=4.5", R"({"resultType":"scalar","result":[4.500,"0.3333333333333333"]})");
  Gives("/api/v1/query?query=vector(1)&time=2023-11-14T22:13:20.007Z",
        R"({"resultType":"vector","result":[{"metric":{},"value":[1700000000.007,"1"]}]})");
  Gives("/api/v1/query?query=time()&time=-0.5", R"({"resultType":"scalar","result":[-0.500,"-0.5"]})");
  Gives("/api/v1/query?query=1e21&time=0", R"({"resultType":"scalar","result":[0,"1000000000000000000000"]})");
  Gives("/api/v1/query?query=-1/0&time=0", R"({"resultType":"scalar","result":[0,"-Inf"]})");
  Gives("/api/v1/query?query=NaN&time=0", R"({"resultType":"scalar","result":[0,"NaN"]})");
  Gives("/api/v1/query_range?query=time()&start=1&end=3&step=1",
        R"({"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"],[2,"2"],[3,"3"]]}]})");
  Gives("/api/v1/query_range?query=1&start=1&end=1&step=1m",
        R"({"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"]]}]})");
}

TEST_F(QueryApi, RefusesExpressionsThatNeedSamplesOrAreInvalid) {
  for (const std::string_view target : {"/api/v1/query?query=up", "/api/v1/query?query=rate(up[5m])",
                                        "/api/v1/query_range?query=up&start=1&end=2&step=1"}) {
    const Received received = Get(target);
    EXPECT_EQ(received.status, 422) << target;
    EXPECT_THAT(received.body,
                HasSubstr(R"("errorType":"execution","error":"this is a catalogue of series identities)"));
  }
  Refuses("/api/v1/query", 400, "bad_data",
          R"(invalid parameter \"query\": 1:1: parse error: no expression found in input)");
  Refuses("/api/v1/query?query=1%2B", 400, "bad_data",
          R"(invalid parameter \"query\": 1:3: parse error: unexpected end of input)");
  Refuses("/api/v1/query?query=1&time=x", 400, "bad_data",
          R"(invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a valid timestamp)");
  Refuses("/api/v1/query_range?query=1&end=1&step=1", 400, "bad_data",
          R"(invalid parameter \"start\": cannot parse \"\" to a valid timestamp)");
  Refuses("/api/v1/query_range?query=1&start=2&end=1&step=1", 400, "bad_data",
          R"(invalid parameter \"end\": end timestamp must not be before start time)");
  Refuses("/api/v1/query_range?query=1&start=1&end=2", 400, "bad_data",
          R"(invalid parameter \"step\": cannot parse \"\" to a valid duration)");
  Refuses(
      "/api/v1/query_range?query=1&start=1&end=2&step=0", 400, "bad_data",
      R"(invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer)");
  Refuses(
      "/api/v1/query_range?query=1&start=0&end=11001&step=1", 400, "bad_data",
      R"(exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX))");
}

TEST_F(QueryApi, StreamsLongAnswersInBoundedChunks) {
  for (int i = 0; i < 20'000; ++i)
    AddSeries("", {{"__name__", "many"}, {"i", std::to_string(i)}, {"pad", std::string(40, 'x')}});
  const Received received = Get("/api/v1/series?match[]=many&limit=19999");
  EXPECT_GT(received.chunks, 10U);
  EXPECT_LT(received.largest_chunk, kChunkBytes + 4096);
  std::string want = R"({"status":"success","data":[)";
  for (int i = 0; i < 19'999; ++i) {
    want += format(R"({}{{"__name__":"many","i":"{}","pad":"{}"}})", i == 0 ? "" : ",", i, std::string(40, 'x'));
  }
  want += R"(],"warnings":["results truncated due to limit"]})";
  EXPECT_EQ(received.body, want);
}

TEST_F(QueryApi, BoundsTheNumberOfConcurrentStreams) {
  for (int i = 0; i < 200; ++i)
    AddSeries("", {{"__name__", "many"}, {"i", std::to_string(i)}, {"pad", std::string(1000, 'x')}});
  const FakeRequest request("GET", "/api/v1/series?match[]=many");
  const auto ask = [&] { return net::Ask(*Router().Find(request.path()), request).Take(); };
  std::vector<net::Response> streams;
  for (int i = 0; i < 64; ++i) {
    streams.push_back(ask());
    ASSERT_TRUE(streams.back().next_chunk);
  }
  const Received refused = Receive(ask());
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("128 long answers are being sent already, or 64 to this client"));
  EXPECT_EQ(Get("/api/v1/labels").status, 200);
  const FakeRequest of_tenant("GET", "/select/0/prometheus/api/v1/series?match[]=many");
  EXPECT_EQ(net::Ask(*Router().Find(of_tenant.path()), of_tenant).Take().status, 503);
  streams.pop_back();  // its reader has gone away
  EXPECT_EQ(Receive(ask()).status, 200);
}

TEST_F(QueryApi, WaitsForTheCatalogueAndWarnsIfTheStoreIsAway) {
  state_ = {.waits_for = "12 of 40 series"};
  const Received loading = Get("/api/v1/labels");
  EXPECT_EQ(loading.status, 503);
  EXPECT_EQ(loading.headers.at("Retry-After"), "1");
  EXPECT_EQ(
      loading.body,
      R"({"status":"error","errorType":"unavailable","error":"the catalogue is not loaded yet: 12 of 40 series"})");
  EXPECT_EQ(Get("/api/v1/status/buildinfo").status, 200);
  state_ = {.warning = "the store is away"};
  EXPECT_EQ(Get("/api/v1/label/job/values").body,
            R"({"status":"success","data":["api","db"],"warnings":["the store is away"]})");
  EXPECT_EQ(
      Get("/api/v1/series?match[]=up&limit=1").body,
      format(R"({{"status":"success","data":[{}],"warnings":["the store is away","results truncated due to limit"]}})",
             kUpA));
}

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
    return net::Ask(*router_.Find(request.path()), request);
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
    net::HeadDecision head = Router().Find(request.path())->Head(request);
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

TEST_F(QueryApi, StreamsLongListsOfStringsAndMetadata) {
  std::string want;
  for (int i = 0; i < 2000; ++i) {
    const std::string value = format("value-{:05}-{}", i, std::string(250, 'x'));
    AddSeries("", {{"__name__", "many"}, {"own", value}});
    fleet_->AddMetadata({.metadata = {.family = value, .type = "gauge"}});
    want += format(R"({}"{}")", i == 0 ? "" : ",", value);
  }
  const Received values = Get("/api/v1/label/own/values");
  EXPECT_GT(values.chunks, 3U);
  EXPECT_LT(values.largest_chunk, kChunkBytes + 4096);
  EXPECT_EQ(values.body, format(R"({{"status":"success","data":[{}]}})", want));
  EXPECT_GT(Get("/api/v1/metadata").chunks, 3U);
  EXPECT_EQ(Get("/api/v1/metadata?limit=10").chunks, 0U);
}

TEST_F(QueryApi, StreamsTheMetadataOfOneFamilyInBoundedChunks) {
  std::string want;
  for (int i = 0; i < 100; ++i) {
    const std::string help = format("{:03}{}", i, std::string(32 << 10, 'x'));
    fleet_->AddMetadata({.metadata = {.family = "many", .type = "gauge", .help = help}});
    want += format(R"({}{{"type":"gauge","unit":"","help":"{}"}})", i == 0 ? "" : ",", help);
  }
  const Received received = Get("/api/v1/metadata?metric=many");
  EXPECT_GT(received.chunks, 10U);
  EXPECT_LT(received.largest_chunk, kChunkBytes + (33 << 10));
  EXPECT_EQ(received.body, format(R"({{"status":"success","data":{{"many":[{}]}}}})", want));
}

TEST_F(QueryApi, HoldsMemoryAsLongAsALongAnswerLastsAndRefusesWithoutIt) {
  for (int i = 0; i < 5000; ++i) AddSeries(i % 2 == 0 ? "a" : "b", {{"__name__", "many"}, {"i", std::to_string(i)}});
  {
    const FakeRequest request("GET", "/api/v1/series?match[]=many");
    const net::Response stream = net::Ask(*Router().Find(request.path()), request).Take();
    ASSERT_TRUE(stream.next_chunk);
    EXPECT_GT(memory_.used(), 5000 * 48 + (1 << 20));  // it merges tenants
  }
  EndApi();
  EXPECT_EQ(memory_.used(), 0);
  const uint64_t left = 64 << 10;
  ASSERT_TRUE(memory_.TryTake(memory_.limit() - left));
  const Received refused = Get("/api/v1/label/i/values");
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("there is no memory for this query: "));
  EXPECT_THAT(refused.body, HasSubstr("limit 1 GiB (receive.max_buffered_bytes)"));
  EXPECT_EQ(Get("/api/v1/labels").status, 200);
  EXPECT_EQ(Post("/api/v1/labels", std::string(100 << 10, '&')).status, 503);
  std::string many;  // 2 KiB, and 64 bytes or more for each of its parameters
  for (int i = 0; i < 1024; ++i) many += "a&";
  EXPECT_EQ(Post("/api/v1/labels", many).status, 503);
  memory_.GiveBack(memory_.limit() - left);
}

TEST_F(QueryApi, CompressesLongAnswersAsTheClientAccepts) {
  for (int i = 0; i < 4000; ++i) AddSeries("", {{"__name__", "many"}, {"i", std::to_string(i)}});
  const auto ask = [&](std::string_view target, std::string_view accept) {
    return Send(Router(), FakeRequest("GET", target).With("Accept-Encoding", accept));
  };
  const Received small = ask("/api/v1/labels", "gzip");
  EXPECT_FALSE(small.headers.contains("Content-Encoding"));
  EXPECT_EQ(small.headers.at("Vary"), "Accept-Encoding");
  EXPECT_EQ(ask("/api/v1/series?match[]=many", "br").headers.count("Content-Encoding"), 0);
  for (const std::string_view target : {"/api/v1/series?match[]=many&limit=100", "/api/v1/series?match[]=many"}) {
    const std::string plain = Get(target).body;
    const Received gzip = ask(target, "gzip");
    EXPECT_EQ(gzip.headers.at("Content-Encoding"), "gzip");
    EXPECT_TRUE(gzip.body.starts_with("\x1f\x8b"));
    EXPECT_LT(gzip.body.size(), plain.size() / 3);
    const Received zstd = ask(target, "gzip, zstd");
    EXPECT_EQ(zstd.headers.at("Content-Encoding"), "zstd");
    codec::Decompressor decompressor;
    const auto decoded = decompressor.Decode(codec::Compression::kZstd, zstd.body, 100 << 20);
    ASSERT_TRUE(decoded) << decoded.error().message();
    EXPECT_TRUE(*decoded == plain);
  }
}

TEST_F(QueryApi, LetsPagesOfOtherOriginsReadIfTheyMay) {
  const auto ask = [&](std::string_view method, std::string_view target, std::string_view origin) {
    return Send(Router(), FakeRequest(method, target).With("Origin", origin));
  };
  EXPECT_FALSE(ask("GET", "/api/v1/labels", "http://a").headers.contains("Access-Control-Allow-Origin"));
  const Received off = ask("OPTIONS", "/api/v1/labels", "http://a");
  EXPECT_EQ(off.status, 204);
  EXPECT_FALSE(off.headers.contains("Access-Control-Allow-Methods"));
  options_.cors = Cors::Create("https?://grafana").value();
  EndApi();
  for (const auto& [method, target, status] : {std::tuple("GET", "/api/v1/labels", 200),
                                               {"GET", "/api/v1/series", 400},
                                               {"PUT", "/api/v1/labels", 405},
                                               {"OPTIONS", "/prometheus/api/v1/query", 204},
                                               {"GET", "/api/v1/status/buildinfo", 200}}) {
    const Received answer = ask(method, target, "http://grafana");
    EXPECT_EQ(answer.status, status) << target;
    EXPECT_EQ(answer.headers.at("Access-Control-Allow-Origin"), "http://grafana") << target;
    EXPECT_EQ(ask(method, target, "http://evil").headers.count("Access-Control-Allow-Origin"), 0) << target;
  }
}

TEST_F(QueryApi, AnswersHeadAndTheEndpointsOfWhatItDoesNotHave) {
  for (const std::string_view target : {"/api/v1/labels", "/api/v1/metadata", "/api/v1/status/buildinfo"}) {
    EXPECT_EQ(Send(Router(), FakeRequest("HEAD", target)).status, 200) << target;
  }
  Gives("/api/v1/rules?type=alert", R"({"groups":[]})");
  Gives("/api/v1/alerts", R"({"alerts":[]})");
  Gives("/api/v1/alertmanagers", R"({"activeAlertmanagers":[],"droppedAlertmanagers":[]})");
  Gives("/api/v1/targets?state=active", R"({"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}})");
  Gives("/api/v1/targets/metadata", "[]");
  Gives("/select/0/prometheus/api/v1/query_exemplars?query=up", "[]");
  Gives("/api/v1/status/flags", "{}");
  Gives("/api/v1/status/config", R"({"yaml":""})");
  EXPECT_THAT(Get("/api/v1/status/runtimeinfo").body, HasSubstr(R"("startTime":"2023-11-14T22:13:20.000Z")"));
}

TEST_F(QueryApi, FormatsAndParsesWhatItUnderstandsOfPromQL) {
  const auto query = [](std::string_view path, std::string_view text) {
    return format("/api/v1/{}?query={}", path, text);
  };
  Gives(query("format_query", "up"), R"("up")");
  Gives(query("format_query", "%20{ job%3D'a', __name__%3D'up',mode!~`x|y`, }"), R"("up{job=\"a\",mode!~\"x|y\"}")");
  Gives(query("format_query", "{'my.metric','a.b'%3D'1'}"), R"("{\"my.metric\",\"a.b\"=\"1\"}")");
  Gives(query("format_query", "1%2B1"), R"("1+1")");
  Gives(query("parse_query", "up{job!%3D'a'}"),
        R"({"type":"vectorSelector","name":"up","offset":0,"matchers":[{"name":"job","value":"a","type":"!="},)"
        R"({"name":"__name__","value":"up","type":"="}],"timestamp":null,"startOrEnd":null})");
  Gives(query("parse_query", "1e3"), R"({"type":"numberLiteral","val":"1000"})");
  for (const std::string_view path : {"format_query", "parse_query"}) {
    EXPECT_EQ(Get(query(path, "rate(up[5m])")).status, 422);
    EXPECT_EQ(Get(query(path, "1%2B")).status, 400);
    EXPECT_EQ(Get(query(path, "")).status, 400);
  }
}

TEST_F(QueryApi, MeasuresEachEndpoint) {
  Get("/api/v1/labels");
  Get("/api/v1/label/job/values");
  Get("/api/v1/label/code/values");
  api_.reset();  // everything is measured once the threads have ended
  const std::string metrics = metrics_->Render();
  EXPECT_THAT(metrics, HasSubstr(R"(metric_index_query_seconds_count{endpoint="labels"} 1)"));
  EXPECT_THAT(metrics, HasSubstr(R"(metric_index_query_seconds_count{endpoint="label_values"} 2)"));
}

// The requests of Grafana's Prometheus data source, with their parameters.
class Grafana : public QueryApi {
 protected:
  static constexpr std::string_view kRange = "start=1699996380&end=1700000040";  // its hour, widened to minutes
};

TEST_F(Grafana, SavesAndTestsTheDataSource) {
  EXPECT_EQ(Post("/api/v1/query", "query=1%2B1&time=4").body,
            R"({"status":"success","data":{"resultType":"scalar","result":[4,"2"]}})");
  const Received build = Get("/api/v1/status/buildinfo");
  EXPECT_EQ(build.status, 200);
  // A version from which labels can be asked for with match[]; no features, which would make it a Mimir with a ruler.
  EXPECT_EQ(
      build.body,
      R"({"status":"success","data":{"version":"3.0.0","revision":"metric-index 0.1.0","branch":"","buildUser":"",)"
      R"("buildDate":"","goVersion":"","application":"metric-index"}})");
}

TEST_F(Grafana, OpensTheMetricsBrowser) {
  Gives(format("/api/v1/label/__name__/values?{}&limit=40000", kRange), R"(["batch.runs","http_requests_total","up"])");
  EXPECT_EQ(Post("/api/v1/labels", format("{}&limit=40000", kRange)).body,
            R"({"status":"success","data":["__name__","cluster.name","code","instance","job"]})");
  EXPECT_EQ(Get("/api/v1/metadata?limit=40000").status, 200);
  EXPECT_EQ(Get("/api/v1/metadata").status, 200);
}

TEST_F(Grafana, BrowsesFromAMetricToItsLabelsAndSeries) {
  EXPECT_EQ(Post("/api/v1/labels", format("{}&match%5B%5D=%7B__name__%3D%22up%22%7D&limit=40000", kRange)).body,
            R"({"status":"success","data":["__name__","instance","job"]})");
  Gives(format("/api/v1/label/job/values?{}&match%5B%5D=%7B__name__%3D%22up%22%7D&limit=40000", kRange),
        R"(["api","db"])");
  Gives(format("/api/v1/label/__name__/values?{}&match%5B%5D=%7Bjob%3D~%22api%7Cdb%22%7D", kRange),
        R"(["http_requests_total","up"])");
  Gives(format("/api/v1/label/U__cluster_2e_name/values?{}", kRange), R"(["c\n\"1\""])");
  EXPECT_EQ(Post("/api/v1/series", format("{}&match%5B%5D=up%7Bjob%3D%22db%22%7D&limit=40000", kRange)).body,
            format(R"({{"status":"success","data":[{}]}})", kUpB));
  // Validation of a selector, and template variables.
  Gives(format("/api/v1/series?match%5B%5D=%7B__name__%3D%22up%22%2Cjob%3D%22api%22%7D&{}", kRange),
        format("[{}]", kUpA));
  Gives("/api/v1/label/instance/values?match[]=up%7Bjob%3D~%22.%2B%22%7D", R"(["a:1","b:1"])");
}

}  // namespace
}  // namespace mi::web
