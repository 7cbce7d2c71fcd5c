#include "web/api.h"

#include "base/format.h"
#include "net/testing/fake_request.h"
#include "query/testing/fake_snapshot.h"
#include "web/series_json.h"

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
      api_ = std::make_unique<Api>(ApiOptions{.threads = 2, .version = "0.1.0"},
                                   ApiDependencies{.snapshot = [this] { return fleet_; },
                                                   .state = [this] { return state_; },
                                                   .metrics = *metrics_,
                                                   .clock = clock_});
      api_->RegisterRoutes(router_);
    }
    return router_;
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
  Refuses("/api/v1/labels?start=2&end=1", 400, "bad_data",
          R"(invalid parameter \"end\": end timestamp must not be before start time)");
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
  EXPECT_EQ(put.headers.at("Allow"), "GET, POST");
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
  for (int i = 0; i < 3'000; ++i)
    AddSeries("", {{"__name__", "many"}, {"i", std::to_string(i)}, {"pad", std::string(40, 'x')}});
  const FakeRequest request("GET", "/api/v1/series?match[]=many");
  const auto ask = [&] { return net::Ask(*Router().Find(request.path()), request).Take(); };
  std::vector<net::Response> streams;
  for (int i = 0; i < 16; ++i) {
    streams.push_back(ask());
    ASSERT_TRUE(streams.back().next_chunk);
  }
  const Received refused = Receive(ask());
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("16 long answers are being sent already"));
  EXPECT_EQ(Get("/api/v1/labels").status, 200);
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

TEST_F(QueryApi, RefusesAQueryThatDoesNotFitTheQueueAndAnswersTheOthers) {
  // One thread that is held inside a query, and a queue of one.
  std::promise<void> held;
  std::promise<void> let_go;
  std::shared_future<void> go = let_go.get_future().share();
  std::atomic<bool> first = true;
  Api api({.threads = 1, .queue_capacity = 1, .version = "0.1.0"}, {.snapshot = [this] { return fleet_; },
                                                                    .state =
                                                                        [&] {
                                                                          if (first.exchange(false)) {
                                                                            held.set_value();
                                                                            go.wait();
                                                                          }
                                                                          return CatalogState();
                                                                        },
                                                                    .metrics = *metrics_,
                                                                    .clock = clock_});
  net::Router router;
  api.RegisterRoutes(router);
  auto ask = [&] { return Send(router, FakeRequest("GET", "/api/v1/labels")).status; };
  std::future<int> running = std::async(std::launch::async, ask);
  held.get_future().wait();
  std::promise<net::Response> queued;
  const FakeRequest request("GET", "/api/v1/labels");
  router.Find("/api/v1/labels")->Head(request).handle(request, net::Reply([&](net::Response r) {
                                                        queued.set_value(std::move(r));
                                                      }));
  const Received refused = Send(router, request);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.headers.at("Retry-After"), "1");
  EXPECT_EQ(refused.body, R"({"status":"error","errorType":"unavailable","error":"1 queries wait already"})");
  let_go.set_value();
  EXPECT_EQ(running.get(), 200);
  EXPECT_EQ(queued.get_future().get().status, 200);
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
  Refuses("/api/v1/series?match[]={i=~'1.*2'}", 503, "unavailable",
          "the answer took longer than 30 s; ask for less, with a match[] that fewer series match, or with fewer "
          "regular expressions");
  EXPECT_LT(slow->steps, 10);
  EXPECT_EQ(Get("/api/v1/label/i/values").headers.at("Retry-After"), "1");
  EXPECT_LT(slow->steps, 100);
  Gives("/api/v1/labels?match[]=up{i='7'}", R"(["__name__","i"])");
}

TEST_F(QueryApi, StopsInTheMiddleOfAQuery) {
  std::promise<void> begun;
  std::atomic<bool> first = true;
  auto slow = std::make_shared<SlowSnapshot>([&] {
    if (first.exchange(false)) begun.set_value();
    std::this_thread::yield();
  });
  for (int i = 0; i < 10; ++i) slow->Add({{"__name__", "up"}, {"i", std::to_string(i)}});
  slow->repeat = true;
  fleet_ = slow;
  const FakeRequest request("GET", "/api/v1/labels?match[]={i=~'1.*2'}");
  net::FakeAnswer answer = net::Ask(*Router().Find(request.path()), request);
  begun.get_future().wait();
  api_.reset();
  const Received received = Receive(answer.Take());
  EXPECT_EQ(received.status, 503);
  EXPECT_THAT(received.body, HasSubstr("the service is stopping"));
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
