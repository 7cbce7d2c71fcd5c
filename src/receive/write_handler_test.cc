#include "receive/write_handler.h"

#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>

#include "receive/testing/write_handler_fixture.h"

namespace mi::receive {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Keeps the thread of LongWork busy until it is destroyed.
class BusyThread {
 public:
  explicit BusyThread(LongWork& work) {
    work.Add("other", [state = state_](const Status&) {
      state->begun.set_value();
      state->end.get_future().wait();
    });
    state_->begun.get_future().wait();
  }
  ~BusyThread() { state_->end.set_value(); }

 private:
  struct State {
    std::promise<void> begun;
    std::promise<void> end;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

TEST_F(WriteHandlerTest, PublishesExactlyTheIdentitiesOfEveryGoldenRequest) {
  for (const char* folder :
       {"prometheus-3.16-v1", "prometheus-3.16-v2", "vmagent-1.150-zstd", "vmagent-1.150-snappy"}) {
    for (const char* number : {"01", "02", "03"}) {
      const std::string base = format("{}/tests/golden/{}/{}", MI_SOURCE_DIR, folder, number);
      publisher_.batches.clear();
      net::FakeRequest request("POST", "/api/v1/write", ReadFile(base + ".body"));
      request.With("X-Scope-OrgID", format("{}-{}", folder, number));  // its own, so that nothing is known yet
      request.With("Content-Encoding", std::string_view(folder).ends_with("zstd") ? "zstd" : "snappy");
      if (std::string_view(folder).ends_with("v2")) {
        request.With("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
      }
      EXPECT_EQ(net::Ask(handler_, request).Take().status, 204) << base;

      std::set<std::string> want;
      std::istringstream lines(ReadFile(base + ".series"));
      for (std::string line; std::getline(lines, line);) {
        if (!line.empty()) want.insert(line);
      }
      const auto all = publisher_.identities();
      EXPECT_EQ(std::set<std::string>(all.begin(), all.end()), want) << base;
      EXPECT_EQ(all.size(), want.size()) << "published once each: " << base;
    }
  }
}

TEST_F(WriteHandlerTest, PublishesASeriesOnce) {
  EXPECT_EQ(SendNow(Body({Up("a"), Up("b")})).status, 204);
  EXPECT_EQ(SendNow(Body({Up("a"), Up("b")})).status, 204);
  EXPECT_EQ(publisher_.identities(), (std::multiset<std::string>{R"(up{instance="a"})", R"(up{instance="b"})"}));
  EXPECT_EQ(metrics_.fresh.Value(), 2);
  EXPECT_EQ(metrics_.known.Value(), 2);
}

TEST_F(WriteHandlerTest, AnswersOnlyWhenEverythingIsDurable) {
  publisher_.settle_at_once = false;
  auto answer = Send(Body({Up("a")}));
  EXPECT_FALSE(answer.arrived());
  EXPECT_EQ(seen_->stats().entries, 0U);
  publisher_.SettleAll();
  EXPECT_EQ(answer.Take().status, 204);
  EXPECT_EQ(seen_->stats().entries, 1U);
}

TEST_F(WriteHandlerTest, PublishesASeriesOfTwoRequestsOnce) {
  publisher_.settle_at_once = false;
  auto first = Send(Body({Up("a")}));
  auto second = Send(Body({Up("a"), Up("b")}));
  EXPECT_EQ(publisher_.identities(), (std::multiset<std::string>{R"(up{instance="a"})", R"(up{instance="b"})"}));
  EXPECT_FALSE(first.arrived() || second.arrived());
  publisher_.SettleAll();
  EXPECT_EQ(first.Take().status, 204);
  EXPECT_EQ(second.Take().status, 204);
}

TEST_F(WriteHandlerTest, Answers503WithRetryAfterWhileTheStreamIsAway) {
  publisher_.settle_at_once = false;
  auto answer = Send(Body({Up("a")}));
  publisher_.SettleAll({.failures = {{0, Error(Errc::kUnavailable, "journal: disk full")}}});
  const net::Response response = answer.Take();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(net::HeaderOf(response, "Retry-After"), "5");
  EXPECT_EQ(response.body, "journal: disk full\n");
  EXPECT_EQ(seen_->stats().entries, 0U);
  publisher_.settle_at_once = true;
  EXPECT_EQ(SendNow(Body({Up("a")})).status, 204);
}

TEST_F(WriteHandlerTest, MarksTheDurableSeriesOfAFailedRequestSeen) {
  publisher_.settle_at_once = false;
  auto answer = Send(Body({Up("a"), Up("b"), Up("c")}));
  publisher_.SettleAll({.failures = {{1, Error(Errc::kOverloaded, "full")}}});
  EXPECT_EQ(answer.Take().status, 503);
  EXPECT_EQ(seen_->stats().entries, 2U);
  auto again = Send(Body({Up("a"), Up("b"), Up("c")}));
  EXPECT_EQ(publisher_.batches.back()->size(), 1U);
  publisher_.SettleAll();
  EXPECT_EQ(again.Take().status, 204);
}

TEST_F(WriteHandlerTest, Answers400ForASeriesThatTheStreamRefuses) {
  publisher_.settle_at_once = false;
  auto answer = Send(Body({Up("a")}));
  publisher_.SettleAll({.failures = {{0, Error(Errc::kTooLarge, "record is too large")}}});
  EXPECT_EQ(answer.Take().status, 400);
}

TEST_F(WriteHandlerTest, CountsAndNamesSeriesThatTheStreamRefuses) {
  publisher_.settle_at_once = false;
  WireSeries large = Up("large");
  large.samples.push_back({2, 2000});
  large.exemplars.push_back({.labels = {{"trace", "1"}}, .value = 1, .timestamp_ms = 1});
  const auto send = [this](std::vector<WireSeries> series) {
    return Send(Body(std::move(series), Schema::kV2),
                {{"Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"}});
  };
  auto answer = send({Up("a"), large, Up("b")});
  auto shares = send({large, Up("a")});  // awaits what the other one has claimed
  auto has_others = send({large, {.labels = {{"job", "nameless"}}, .samples = {{1, 1}}}});
  publisher_.SettleAll({.failures = {{1, Error(Errc::kTooLarge, "record is 2 MiB, limit 1 MiB")}}});
  const net::Response response = answer.Take();
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(
      response.body,
      "1 of 3 series refused, the others are kept; the first: up{instance=\"large\"}: record is 2 MiB, limit 1 MiB\n");
  EXPECT_EQ(net::HeaderOf(response, "X-Prometheus-Remote-Write-Samples-Written"), "2");
  EXPECT_EQ(net::HeaderOf(response, "X-Prometheus-Remote-Write-Exemplars-Written"), "0");
  EXPECT_EQ(net::HeaderOf(shares.Take(), "X-Prometheus-Remote-Write-Samples-Written"), "1");
  const net::Response both = has_others.Take();
  EXPECT_THAT(both.body, testing::HasSubstr("all 2 series refused; the first: series 2 of 2"));
  EXPECT_EQ(net::HeaderOf(both, "X-Prometheus-Remote-Write-Samples-Written"), "0");
  EXPECT_THAT(registry_->Render(),
              testing::AllOf(testing::HasSubstr("receive_refused_series_total{reason=\"refused_by_stream\"} 3"),
                             testing::HasSubstr("receive_series_total{result=\"refused\"} 4")));
}

TEST_F(WriteHandlerTest, ReportsMetadataThatTheStreamRefuses) {
  codec::RequestEncoder encoder(Schema::kV1);
  encoder.AddMetadata({.family = "up", .type = "gauge", .help = "Whether it is up.", .unit = ""});
  publisher_.settle_at_once = false;
  auto answer = Send(codec::Compress(Compression::kSnappy, encoder.Finish()));
  publisher_.SettleAll({.metadata_failure = Error(Errc::kTooLarge, "too large")});
  const net::Response response = answer.Take();
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.body, "1 exemplars or metadata refused, all series are kept; the first: too large\n");
}

TEST_F(WriteHandlerTest, Answers503IfOneSeriesIsRefusedAndAnotherIsNotDurable) {
  publisher_.settle_at_once = false;
  auto answer = Send(Body({Up("a"), Up("b")}));
  publisher_.SettleAll(
      {.failures = {{0, Error(Errc::kTooLarge, "too large")}, {1, Error(Errc::kUnavailable, "broker away")}}});
  EXPECT_EQ(answer.Take().status, 503);
}

TEST_F(WriteHandlerTest, AnswersAfterTheTimeoutWhileTheBatchGoesOn) {
  SetOptions([](ReceiveOptions& options) { options.answer_timeout = std::chrono::milliseconds(1); });
  publisher_.settle_at_once = false;
  auto answer = Send(Body({Up("a")}));
  clock_.Advance(std::chrono::milliseconds(1));
  const net::Response response = answer.Take();
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(response.body, testing::HasSubstr("receive.answer_timeout"));
  publisher_.SettleAll();
  EXPECT_EQ(seen_->stats().entries, 1U);
}

TEST_F(WriteHandlerTest, AnswersWaitingRequestsWhenTheServiceStops) {
  publisher_.settle_at_once = false;
  auto waiting = Send(Body({Up("a")}));
  handler_.Refuse();
  publish_once_.ExpireAll();
  EXPECT_EQ(waiting.Take().status, 503);
  EXPECT_EQ(SendNow(Body({Up("b")})).status, 503);
  publisher_.SettleAll();
}

TEST_F(WriteHandlerTest, AcceptsTheValidSeriesAndReportsTheRefusedOnes) {
  publisher_.settle_at_once = false;
  WireSeries twice = Up("x");
  twice.labels.emplace_back("instance", "y");
  auto answer = Send(Body({Up("a"), twice, Up("b"), {.labels = {{"job", "nameless"}}, .samples = {{1, 1}}}}));
  EXPECT_FALSE(answer.arrived()) << "400 only after the valid series are durable: the sender does not repeat";
  publisher_.SettleAll();
  const net::Response response = answer.Take();
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.body, testing::HasSubstr("2 of 4 series refused"));
  EXPECT_THAT(response.body, testing::HasSubstr("instance"));
  EXPECT_EQ(publisher_.identities(), (std::multiset<std::string>{R"(up{instance="a"})", R"(up{instance="b"})"}));
  EXPECT_EQ(metrics_.refused.Value(), 2);
}

TEST_F(WriteHandlerTest, Prefers503To400) {
  publisher_.settle_at_once = false;
  auto answer = Send(Body({Up("a"), {.labels = {{"job", "nameless"}}, .samples = {{1, 1}}}}));
  publisher_.SettleAll({.failures = {{0, Error(Errc::kUnavailable, "away")}}});
  EXPECT_EQ(answer.Take().status, 503);
}

TEST_F(WriteHandlerTest, RecognisesASeriesWithUnsortedLabels) {
  EXPECT_EQ(SendNow(Body({Up("a")})).status, 204);
  const WireSeries unsorted{.labels = {{"instance", "a"}, {"__name__", "up"}, {"empty", ""}}, .samples = {{1, 1}}};
  EXPECT_EQ(SendNow(Body({unsorted})).status, 204);
  EXPECT_EQ(SendNow(Body({unsorted})).status, 204);
  EXPECT_EQ(publisher_.identities().size(), 1U);
  EXPECT_EQ(seen_->stats().entries, 1U);
}

TEST_F(WriteHandlerTest, RefusesAnInvalidLabelEvenIfTheSeriesIsKnownWithoutIt) {
  const WireSeries up{.labels = {{"__name__", "up"}}, .samples = {{1, 1}}};
  const WireSeries bad{.labels = {{"__name__", "up"}, {"\xff", ""}}, .samples = {{1, 1}}};
  for (int known = 0; known < 2; ++known) {
    EXPECT_EQ(SendNow(Body({bad})).status, 400) << known;
    EXPECT_EQ(SendV2({bad}).status, 400) << known;
    EXPECT_EQ(SendV2({up}).status, 204);
  }
}

TEST_F(WriteHandlerTest, RecognisesASeriesInBothSchemas) {
  EXPECT_EQ(SendNow(Body({Up("a")})).status, 204);
  EXPECT_EQ(SendV2({Up("a")}).status, 204);
  EXPECT_EQ(publisher_.identities().size(), 1U);
}

TEST_F(WriteHandlerTest, IgnoresAnUnknownSeriesWithOnlyStaleMarkers) {
  const double stale = std::bit_cast<double>(codec::kStaleMarker);
  const WireSeries gone{.labels = {{"__name__", "gone"}}, .samples = {{stale, 1}}};
  EXPECT_EQ(SendNow(Body({gone})).status, 204);
  EXPECT_TRUE(publisher_.batches.empty());
}

TEST_F(WriteHandlerTest, PublishesActivityOncePerWindowAndNotForStaleMarkers) {
  WireSeries up = Up("a");
  EXPECT_EQ(SendNow(Body({up})).status, 204);
  EXPECT_EQ(activity_.fingerprints, 0U) << "its first sample is in the batch";
  clock_.Advance(std::chrono::hours(1));
  WireSeries gone = up;
  gone.samples = {{std::bit_cast<double>(codec::kStaleMarker), 1}};
  EXPECT_EQ(SendNow(Body({gone})).status, 204);
  EXPECT_EQ(activity_.fingerprints, 0U);
  EXPECT_EQ(SendNow(Body({up})).status, 204);
  EXPECT_EQ(SendNow(Body({up})).status, 204);
  EXPECT_EQ(activity_.fingerprints, 1U);
}

TEST_F(WriteHandlerTest, ReportsTheWrittenCountsInSchema2Only) {
  WireSeries series = Up("a");
  series.samples.push_back({2, 2000});
  series.exemplars.push_back({.labels = {{"trace", "1"}}, .value = 1, .timestamp_ms = 1});
  for (const int round : {1, 2}) {  // new, then known
    const net::Response response = SendV2({series, {.labels = {{"job", "nameless"}}, .samples = {{1, 1}}}});
    EXPECT_EQ(response.status, 400) << round;
    EXPECT_EQ(net::HeaderOf(response, "X-Prometheus-Remote-Write-Samples-Written"), "2");
    EXPECT_EQ(net::HeaderOf(response, "X-Prometheus-Remote-Write-Histograms-Written"), "0");
    EXPECT_EQ(net::HeaderOf(response, "X-Prometheus-Remote-Write-Exemplars-Written"), "1");
  }
  EXPECT_EQ(net::HeaderOf(SendNow(Body({series})), "X-Prometheus-Remote-Write-Samples-Written"), "");
  publisher_.settle_at_once = false;
  auto answer = Send(Body({Up("new")}, Schema::kV2),
                     {{"Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"}});
  publisher_.SettleAll({.failures = {{0, Error(Errc::kUnavailable, "away")}}});
  EXPECT_EQ(net::HeaderOf(answer.Take(), "X-Prometheus-Remote-Write-Samples-Written"), "0");
}

TEST_F(WriteHandlerTest, ReportsZeroWrittenCountsForARefusedSchema2Request) {
  const auto says_none = [this](int status, std::string method, std::string encoding) {
    const net::Response response =
        SendNow(Body({}, Schema::kV2),
                {{"Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"},
                 {"Content-Encoding", std::move(encoding)}},
                "/api/v1/write", std::move(method));
    EXPECT_EQ(response.status, status);
    for (const std::string_view items : {"Samples", "Histograms", "Exemplars"}) {
      EXPECT_EQ(net::HeaderOf(response, format("X-Prometheus-Remote-Write-{}-Written", items)), "0") << status;
    }
  };
  says_none(415, "POST", "gzip");
  says_none(405, "PUT", "snappy");
  handler_.Refuse();
  says_none(503, "POST", "snappy");
  EXPECT_THAT(
      registry_->Render(),
      testing::AllOf(testing::HasSubstr(R"(receive_requests_total{code="405",encoding="snappy",protocol="2.0"} 1)"),
                     testing::HasSubstr(R"(receive_requests_total{code="415",encoding="unknown",protocol="2.0"} 1)")));
  EXPECT_EQ(net::HeaderOf(SendNow(Body({})), "X-Prometheus-Remote-Write-Samples-Written"), "");
}

TEST_F(WriteHandlerTest, PublishesMetadataOnceAndWaitsForIt) {
  codec::RequestEncoder encoder(Schema::kV1);
  encoder.AddMetadata({.family = "up", .type = "gauge", .help = "Whether it is up.", .unit = ""});
  const std::string body = codec::Compress(Compression::kSnappy, encoder.Finish());
  publisher_.settle_at_once = false;
  auto answer = Send(body);
  EXPECT_FALSE(answer.arrived());
  publisher_.SettleAll();
  EXPECT_EQ(answer.Take().status, 204);
  EXPECT_EQ(SendNow(body).status, 204);
  ASSERT_EQ(publisher_.batches.size(), 1U);
  EXPECT_EQ(publisher_.batches[0]->metadata().at(0).help, "Whether it is up.");
}

TEST_F(WriteHandlerTest, NegotiatesSchemaAndCompression) {
  auto f = [this](int status, std::string type, std::string encoding) {
    std::vector<std::pair<std::string, std::string>> headers;
    if (type != "-") headers.emplace_back("Content-Type", type);
    if (encoding != "-") headers.emplace_back("Content-Encoding", encoding);
    EXPECT_EQ(SendNow(Body({}), headers).status, status) << type << " " << encoding;
  };
  f(204, "-", "-");
  f(204, "application/x-protobuf", "snappy");
  f(204, "Application/X-Protobuf ; Proto=\"prometheus.WriteRequest\"; charset=utf-8", "SNAPPY");
  f(415, "application/x-protobuf;proto=io.prometheus.write.v3.Request", "snappy");
  f(415, "application/x-protobuf;proto=IO.prometheus.write.v2.Request", "snappy");
  f(204, "application/x-protobuf; x=\"a;proto=b\"", "snappy");
  f(204, "application/x-protobuf; x=\"a\\\";proto=b\";proto=prometheus.WriteRequest", "snappy");
  f(415, "application/x-protobuf; x=\"a\";proto=b", "snappy");
  f(415, "application/json", "snappy");
  f(415, "text/plain", "-");
  f(415, "-", "gzip");
  f(415, "-", "identity");
  f(415, "-", "snappy, zstd");
  f(204, "application/x-protobuf", "zstd");  // a mislabelled block is tried with the other codec
}

TEST_F(WriteHandlerTest, RefusesAnUnreadableRequestWith400AndNamesTheOption) {
  auto f = [this](std::string body, std::string_view part) {
    const net::Response response = SendNow(std::move(body));
    EXPECT_EQ(response.status, 400);
    EXPECT_THAT(response.body, testing::HasSubstr(std::string(part)));
    EXPECT_EQ(std::ranges::count(response.body, '\n'), 1) << response.body;
  };
  f("", "empty");
  f("no snappy at all", "");
  f(codec::Compress(Compression::kSnappy, "\x0b garbage"), "");
  SetOptions([](ReceiveOptions& options) { options.max_body_bytes = 4; });
  f("12345", "receive.max_body_bytes");
  SetOptions([](ReceiveOptions& options) { options.max_body_bytes = 1 << 20, options.max_decoded_bytes = 8; });
  f(Body({Up("a")}), "receive.max_decoded_bytes");
}

// The labels of a usual series are read only if it is unknown.
TEST_F(WriteHandlerTest, RefusesARequestWhoseLabelsAreBrokenAlsoAfterKnownSeries) {
  codec::RequestEncoder encoder(codec::Schema::kV1);
  encoder.Add(Up("a"));
  const std::string good = encoder.Finish();
  encoder.Add(Up("new"));
  std::string broken = good + encoder.Finish();
  const size_t label = broken.rfind("\x0a\x08__name__");
  ASSERT_NE(label, std::string::npos);
  broken[label + 1] = 0x7f;  // longer than the label that contains it
  EXPECT_EQ(SendNow(codec::Compress(Compression::kSnappy, good)).status, 204);
  broken[label - 1] = 0x7f;  // longer than the series
  for (int i = 0; i < 2; ++i) {
    const net::Response response = SendNow(codec::Compress(Compression::kSnappy, broken));
    EXPECT_EQ(response.status, 400);
    EXPECT_THAT(response.body, testing::HasSubstr("broken after byte"));
  }
  EXPECT_EQ(publisher_.identities().size(), 1U);
  EXPECT_EQ(SendNow(codec::Compress(Compression::kSnappy, good)).status, 204);
}

TEST_F(WriteHandlerTest, ReadsLongRequestsOnAThreadOfTheirOwnSoThatShortOnesDoNotWait) {
  for (const auto& long_series : {UpTo(600, 3000), UpTo(5000, 8)}) {  // many bytes; many series
    std::optional<BusyThread> busy(long_work_);
    const size_t published = publisher_.identities().size();
    auto answer = Send(Body(long_series, Schema::kV2),
                       {{"Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"}});
    EXPECT_EQ(SendNow(Body({Up("short")})).status, 204);
    EXPECT_FALSE(answer.arrived());
    EXPECT_GT(memory_.used(), 0U);
    busy.reset();
    const net::Response response = answer.Take();
    EXPECT_EQ(response.status, 204);
    EXPECT_EQ(net::HeaderOf(response, "X-Prometheus-Remote-Write-Samples-Written"), format("{}", long_series.size()));
    EXPECT_GE(publisher_.identities().size(), published + long_series.size());
  }
  long_work_.Stop();
  EXPECT_EQ(memory_.used(), 0U);
}

TEST_F(WriteHandlerTest, LongRequestsAreAnsweredAsShortOnesAre) {
  std::vector<WireSeries> series = UpTo(5000, 8);
  series[7].labels = {{"job", "nameless"}};
  const net::Response partly = SendV2(series);
  EXPECT_EQ(partly.status, 400);
  EXPECT_THAT(partly.body, testing::HasSubstr("1 of 5000 series refused, the others are kept; the first: series 8 of"));
  EXPECT_EQ(net::HeaderOf(partly, "X-Prometheus-Remote-Write-Samples-Written"), "4999");
  EXPECT_EQ(SendV2(series).status, 400) << "now known";
  EXPECT_EQ(metrics_.known.Value(), 4999);
  EXPECT_EQ(metrics_.refused.Value(), 2);
  const std::string broken = std::string(2 << 20, '\x0b');
  EXPECT_EQ(SendNow(codec::Compress(Compression::kSnappy, broken)).status, 400);
  SetOptions([](ReceiveOptions& options) { options.max_decoded_bytes = 2 << 20; });
  EXPECT_THAT(SendNow(codec::Compress(Compression::kSnappy, std::string(3 << 20, 'x'))).body,
              testing::HasSubstr("limit 2 MiB (receive.max_decoded_bytes)"));
}

TEST_F(WriteHandlerTest, LongRequestsUseTheMemoryOfEarlierOnesAgain) {
  const std::string body = Body(UpTo(600, 3000));  // decodes to 1.8 MB, which are 440 pages
  for (int i = 0; i < 3; ++i) EXPECT_EQ(SendNow(body).status, 204);
  const auto page_faults = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
  };
  const long before = page_faults();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(SendNow(body).status, 204);
  EXPECT_LT(page_faults() - before, 2000) << "10 requests of 440 pages each";
}

TEST_F(WriteHandlerTest, RefusesABodyThatExpandsAThousandfold) {
  const std::string bomb = codec::Compress(Compression::kZstd, std::string(60 << 20, '\0'));
  const net::Response response = SendNow(bomb, {{"Content-Encoding", "zstd"}});
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.body, testing::HasSubstr("1000 times the body"));
}

// The encoders of some senders use a large window for bodies of any size.
TEST_F(WriteHandlerTest, TakesAnyZstdWindow) {
  codec::RequestEncoder encoder(Schema::kV1);
  encoder.Add(Up("a"));
  const std::string raw = encoder.Finish();
  const auto send = [&](int log) { return SendNow(codec::ZstdOfWindow(log, raw), {{"Content-Encoding", "zstd"}}); };
  EXPECT_EQ(send(23).status, 204);
  EXPECT_EQ(send(27).status, 204);
}

TEST_F(WriteHandlerTest, LongRequestsThatWaitAreAnswered503AtAStopOrAfterTheTimeOut) {
  std::optional<BusyThread> busy(long_work_);
  auto late = Send(Body(UpTo(5000, 8)));
  clock_.Advance(std::chrono::seconds(21));
  busy.reset();
  const net::Response response = late.Take();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(net::HeaderOf(response, "Retry-After"), "5");
  EXPECT_THAT(response.body, testing::HasSubstr("receive.answer_timeout"));
  busy.emplace(long_work_);
  auto waiting = Send(Body(UpTo(5000, 8)));
  long_work_.Expire();
  EXPECT_EQ(waiting.Take().status, 503);
  EXPECT_EQ(SendNow(Body(UpTo(5000, 8))).status, 503);
  EXPECT_EQ(memory_.used(), 0U);
  EXPECT_TRUE(publisher_.identities().empty());
}

TEST_F(WriteHandlerTest, ALongRequestWaitsForTheStreamOnlyForWhatIsLeftOfTheTimeOut) {
  publisher_.settle_at_once = false;
  std::optional<BusyThread> busy(long_work_);
  auto answer = Send(Body(UpTo(5000, 8)));
  clock_.Advance(options_.Get()->answer_timeout);
  busy.reset();
  const net::Response response = answer.Take();
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(response.body, testing::HasSubstr("not durable within 20000 ms (receive.answer_timeout)"));
  long_work_.Stop();
  publisher_.SettleAll();
  EXPECT_EQ(seen_->stats().entries, 5000U) << "the batch goes on";
}

TEST_F(WriteHandlerTest, RequestsForWhichThereIsNoMemoryAreRepeated) {
  ASSERT_EQ(SendNow(Body({Up("known")})).status, 204);
  ASSERT_TRUE(memory_.TryTake(memory_.limit()));
  for (const std::string& body : {Body({Up("new")}), Body(UpTo(600, 3000)), Body(UpTo(5000, 8))}) {
    const net::Response response = SendNow(body);
    EXPECT_EQ(response.status, 503);
    EXPECT_EQ(net::HeaderOf(response, "Retry-After"), "5");
    EXPECT_THAT(response.body, testing::HasSubstr("receive.max_buffered_bytes"));
  }
  EXPECT_EQ(SendNow(Body({Up("known")})).status, 204) << "known series need none";
  memory_.GiveBack(memory_.limit());
  publisher_.settle_at_once = false;
  auto answer = Send(Body({Up("new")}));
  EXPECT_GT(memory_.used(), 0U) << "new series are held until they are durable";
  publisher_.SettleAll();
  EXPECT_EQ(answer.Take().status, 204);
  EXPECT_EQ(memory_.used(), 0U);
}

TEST_F(WriteHandlerTest, MemoryIsTakenBeforeItIsUsed) {
  const auto f = [&](const std::string& body, uint64_t free, int status) {
    ASSERT_TRUE(memory_.TryTake(memory_.limit() - free));
    const net::Response response = SendNow(body);
    EXPECT_EQ(response.status, status);
    EXPECT_EQ(response.body.contains("receive.max_buffered_bytes"), status == 503);
    memory_.GiveBack(memory_.limit() - free);
    while (memory_.used() > 0) std::this_thread::yield();  // given back a moment after the answer
  };
  const std::string long_labels = Body(UpTo(600, 3000));  // 2 MB decoded, and four times as much while they are sorted
  f(long_labels, 7 << 20, 503);
  EXPECT_TRUE(publisher_.identities().empty());
  f(long_labels, 16 << 20, 204);
  std::string broken;  // found at the end of the walk
  for (int i = 0; i < 90'000; ++i) broken += std::string("\x0a\x10") + std::string(16, '\0');
  broken = codec::Compress(Compression::kSnappy, broken + '\x0b');
  f(broken, 4 << 20, 503);
  f(broken, 32 << 20, 400);
}

// Each of 60 series refers to one symbol of 4,096 bytes a hundred times: it is refused, but only after 400 KB.
TEST_F(WriteHandlerTest, LimitsWhatIsExaminedOfARequestInProportionToIt) {
  using codec::BytesField;
  using codec::Varint;
  std::string request =
      BytesField(4, "") + BytesField(4, "__name__") + BytesField(4, "m") + BytesField(4, std::string(4096, 'x'));
  std::string references = Varint(1) + Varint(2);
  for (uint64_t i = 0; i < 100; ++i) {
    request += BytesField(4, format("l{:02}", i));
    references += Varint(4 + i) + Varint(3);
  }
  for (int i = 0; i < 60; ++i) request += BytesField(5, BytesField(1, references) + codec::SampleField());
  const net::Response response =
      SendNow(codec::Compress(Compression::kSnappy, request),
              {{"Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"}});
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.body, testing::HasSubstr("all 60 series refused"));
  EXPECT_THAT(registry_->Render(),
              testing::AllOf(testing::HasSubstr("receive_refused_series_total{reason=\"series_too_large\"} 41"),
                             testing::HasSubstr("receive_refused_series_total{reason=\"request_too_large\"} 19")));
}

TEST_F(WriteHandlerTest, RefusesASeriesOverALimitAndNamesLimitValueAndOption) {
  SetOptions([](ReceiveOptions& options) { options.series.max_value_bytes = 5; });
  const net::Response response = SendNow(Body({Up("sixsix")}));
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.body, testing::AllOf(testing::HasSubstr("6"), testing::HasSubstr("5"),
                                            testing::HasSubstr("receive.max_value_bytes")));
}

TEST_F(WriteHandlerTest, RefusesNewSeriesBeyondTheDecodedLimit) {
  SetOptions([](ReceiveOptions& options) { options.max_decoded_bytes = 2'000; });
  std::vector<WireSeries> series;
  for (int i = 0; i < 10; ++i) {
    series.push_back(Up(format("{}", i)));
    series.back().labels.emplace_back("long", std::string(900, 'x'));  // one symbol for all of them
  }
  const net::Response response = SendV2(series);
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.body,
              testing::AllOf(testing::HasSubstr("7 of 10"), testing::HasSubstr("receive.max_decoded_bytes")));
  EXPECT_EQ(publisher_.identities().size(), 3U);
}

TEST_F(WriteHandlerTest, CountsRefusedSeriesTowardsTheDecodedLimit) {
  SetOptions([](ReceiveOptions& options) { options.max_decoded_bytes = 2'000; });
  std::vector<WireSeries> series;
  for (int i = 0; i < 10; ++i) {
    series.push_back(Up(format("{}", i)));
    series.back().labels.emplace_back("long", std::string(900, 'x'));
    series.back().labels.emplace_back("utf8", "\xff");
  }
  EXPECT_EQ(SendV2(series).status, 400);
  EXPECT_THAT(registry_->Render(),
              testing::AllOf(testing::HasSubstr("receive_refused_series_total{reason=\"invalid_utf8\"} 3"),
                             testing::HasSubstr("receive_refused_series_total{reason=\"request_too_large\"} 7")));
}

TEST_F(WriteHandlerTest, RefusesMetadataBeyondTheDecodedLimit) {
  SetOptions([](ReceiveOptions& options) { options.max_decoded_bytes = 2'000; });
  std::vector<WireSeries> series;
  for (int i = 0; i < 10; ++i) {
    series.push_back({.labels = {{"__name__", format("m{}", i)}}, .samples = {{1, 1000}}});
    series.back().metadata = model::MetricMetadata{"", "gauge", std::string(900, 'x'), ""};  // one symbol for all
  }
  const net::Response response = SendV2(series);
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.body, testing::AllOf(testing::HasSubstr("8 exemplars or metadata refused"),
                                            testing::HasSubstr("limit 2 KiB (receive.max_decoded_bytes)")));
  EXPECT_EQ(publisher_.identities().size(), 10U);
  EXPECT_EQ(publisher_.batches.at(0)->metadata().size(), 2U);
}

TEST_F(WriteHandlerTest, AnswersInOneLineEvenIfTheTenantHasLineBreaks) {
  const net::Response response = SendNow(Body({}), {{"X-Scope-OrgID", "a\r\nb"}});
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(std::ranges::count(response.body, '\n'), 1);
}

TEST_F(WriteHandlerTest, AcceptsOnlyPost) {
  const net::Response response = SendNow("", {}, "/api/v1/write", "GET");
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(net::HeaderOf(response, "Allow"), "POST");
}

TEST_F(WriteHandlerTest, AnswersTheVersionProbeOfOlderVmagents) {
  for (const char* method : {"GET", "POST"}) {
    const net::Response response = SendNow("", {{"Content-Type", "text/html"}},
                                           "/insert/0/prometheus/api/v1/write?get_vm_proto_version=1", method);
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "1");
  }
  EXPECT_THAT(registry_->Render(),
              testing::HasSubstr(R"(receive_requests_total{code="200",encoding="unknown",protocol="unknown"} 2)"));
}

TEST_F(WriteHandlerTest, ReadsTheTenantFromPathOrHeaderAndRefusesTwoDifferentOnes) {
  auto f = [this](std::string_view path, std::string header, std::string_view tenant) {
    std::vector<std::pair<std::string, std::string>> headers;
    if (!header.empty()) headers.emplace_back("X-Scope-OrgID", header);
    publisher_.batches.clear();
    EXPECT_EQ(SendNow(Body({Up(format("{}{}", path, header))}), headers, path).status, 204) << path;
    ASSERT_EQ(publisher_.batches.size(), 1U);
    EXPECT_EQ(publisher_.batches[0]->tenant().name(), tenant);
  };
  f("/api/v1/write", "", "");
  f("/api/v1/write", "team-a", "team-a");
  f("/insert/0/prometheus", "", "");
  f("/insert/7:1/prometheus/api/v1/write", "", "7:1");
  f("/insert/7%3A1/prometheus/api/v1/write", "", "7:1");
  f("/insert/7:0/prometheus/api/v1/write", "7", "7");
  EXPECT_EQ(SendNow(Body({Up("a")}), {{"X-Scope-OrgID", "8"}}, "/insert/7/prometheus").status, 400);
  EXPECT_EQ(SendNow(Body({Up("a")}), {{"X-Scope-OrgID", "a|b"}}).status, 400);
  EXPECT_EQ(SendNow(Body({Up("a")}), {}, "/insert/a$b/prometheus").status, 400);
}

TEST_F(WriteHandlerTest, WritesToTheTenantOfTheCallerIfNoneIsNamed) {
  auto f = [this](const net::Caller& caller, int status, std::string_view tenant) {
    publisher_.batches.clear();
    net::FakeRequest request("POST", "/api/v1/write", Body({Up(caller.name)}));
    request.SetCaller(&caller);
    EXPECT_EQ(net::Ask(handler_, request).Take().status, status) << caller.name;
    ASSERT_EQ(publisher_.batches.size(), status == 204 ? 1U : 0U) << caller.name;
    if (!publisher_.batches.empty()) {
      EXPECT_EQ(publisher_.batches[0]->tenant().name(), tenant) << caller.name;
    }
  };
  f({.name = "one", .tenants = {"eu"}}, 204, "eu");
  f({.name = "default", .tenants = {"", "eu"}}, 204, "");
  f({.name = "all", .all_tenants = true}, 204, "");
  f({.name = "two", .tenants = {"eu", "us"}}, 400, "");
}

TEST_F(WriteHandlerTest, KeepsTenantsApart) {
  EXPECT_EQ(SendNow(Body({Up("a")}), {{"X-Scope-OrgID", "one"}}).status, 204);
  EXPECT_EQ(SendNow(Body({Up("a")}), {{"X-Scope-OrgID", "two"}}).status, 204);
  EXPECT_EQ(publisher_.identities().size(), 2U);
}

}  // namespace
}  // namespace mi::receive
