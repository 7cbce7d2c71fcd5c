#include "web/api.h"

#include "base/format.h"
#include "codec/compression.h"
#include "web/json_list.h"
#include "web/testing/api_fixture.h"

namespace mi::web {
namespace {

using net::FakeRequest;
using net::Received;
using testing::HasSubstr;

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

TEST_F(QueryApi, AnswersForTheTenantsOfTheCallerIfNoneIsNamed) {
  const net::Caller of_b{.name = "b", .tenants = {"team-b"}};
  const net::Caller of_two{.name = "two", .tenants = {"", "team-b"}};
  const net::Caller of_none{.name = "none", .tenants = {"team-c"}};
  const net::Caller of_all{.name = "all", .all_tenants = true};
  auto f = [&](std::string_view target, const net::Caller& caller, std::string_view data) {
    FakeRequest request("GET", target);
    request.SetCaller(&caller);
    EXPECT_EQ(Send(Router(), request).body, format(R"({{"status":"success","data":{}}})", data))
        << target << caller.name;
  };
  for (const std::string_view prefix : {"", "/prometheus"}) {
    const std::string names = format("{}/api/v1/label/__name__/values", prefix);
    f(names, of_b, R"(["batch.runs","up"])");
    f(names, of_two, R"(["batch.runs","http_requests_total","up"])");
    f(names, of_none, "[]");
    f(names, of_all, R"(["batch.runs","http_requests_total","up"])");
    f(format("{}/api/v1/labels", prefix), of_b, R"(["__name__","cluster.name","instance","job"])");
    f(format("{}/api/v1/series?match[]=up", prefix), of_b, format("[{}]", kUpA));
    f(format("{}/api/v1/metadata", prefix), of_b, "{}");
  }
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
  const auto ask = [&] { return net::Ask(*Router().Find(request.path())->handler, request).Take(); };
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
  EXPECT_EQ(net::Ask(*Router().Find(of_tenant.path())->handler, of_tenant).Take().status, 503);
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
    const net::Response stream = net::Ask(*Router().Find(request.path())->handler, request).Take();
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
