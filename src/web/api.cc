#include "web/api.h"

#include <optional>
#include <string_view>

#include "base/ascii.h"
#include "base/format.h"
#include "base/json.h"
#include "query/deadline.h"
#include "web/envelope.h"
#include "web/page.h"
#include "web/parameters.h"

namespace mi::web {
namespace {

// The version of Prometheus that we report, by which Grafana and others choose their requests. We offer what its
// metadata API offers: match[] on every endpoint (since 2.24), limit and UTF-8 names (since 3.0).
constexpr std::string_view kPrometheusVersion = "3.0.0";

// Each long answer holds a snapshot and, if it merges tenants, some 48 bytes per series sent. Its reader sets the pace.
constexpr int kMaxStreams = 16;

constexpr std::string_view kMethods = "GET, POST";

// The <label> in "…/api/v1/label/<label>/values", decoded; it may contain any character. Nothing for any other path.
std::optional<std::string> LabelOf(std::string_view path) {
  constexpr std::string_view kLabel = "/api/v1/label/";
  constexpr std::string_view kValues = "/values";
  const size_t from = path.find(kLabel);
  if (from == std::string_view::npos || !path.ends_with(kValues)) return std::nullopt;
  path.remove_prefix(from + kLabel.size());
  if (path.size() < kValues.size()) return std::nullopt;
  return net::DecodePath(path.substr(0, path.size() - kValues.size()));
}

// The tenants of the path, or else of the header. Both may name the same.
ApiResult<std::vector<std::string>> ReadTenants(const net::Request& request) {
  const std::optional<std::string> in_path = net::SegmentBehind("/select/", request.path());
  const std::string_view in_header = request.Header("X-Scope-OrgID").value_or("");
  if (!in_path && in_header.empty()) return {};
  std::vector<std::string> tenants = TRY(ParseTenants(in_path ? *in_path : in_header));
  if (in_path && !in_header.empty() && ParseTenants(in_header) != tenants) {
    return BadData(format("the path asks for tenant \"{}\", X-Scope-OrgID for \"{}\"", *in_path, in_header));
  }
  return tenants;
}

// Bodies of any other type are ignored, as Prometheus does.
bool HasForm(const net::Request& request) {
  return ToLower(request.Header("Content-Type").value_or("")).starts_with("application/x-www-form-urlencoded");
}

net::Response BuildInfo(std::string_view product_version) {
  std::string data = format(R"({{"version":"{}","revision":)", kPrometheusVersion);
  AppendJsonString(format("metric-index {}", product_version), data);
  data += R"(,"branch":"","buildUser":"","buildDate":"","goVersion":"","application":"metric-index"})";
  return SuccessResponse(data, {});
}

}  // namespace

// One path of the API, under each of its prefixes.
class Api::EndpointHandler final : public net::Handler {
 public:
  EndpointHandler(Api& api, std::string_view name, Endpoint endpoint)
      : api_(api),
        endpoint_(endpoint),
        seconds_(api.dependencies_.metrics.GetHistogram(
            "query_seconds", "Time to compute the answer to a query, without the time to send it",
            {{"endpoint", std::string(name)}})) {}

  net::HeadDecision Head(const net::Request& request) override {
    if (auto refused = RefuseMethod(request, kMethods)) return {.answer = std::move(refused)};
    auto tenants = ReadTenants(request);
    if (!tenants) return {.answer = ErrorResponse(tenants.error())};
    std::optional<std::string> label = LabelOf(request.path());
    if (endpoint_ == &AnswerLabelValues && !label) {
      return {.answer = net::Response{.status = 404, .body = "404 page not found\n"}};
    }
    Question question{.label = std::move(label).value_or(""), .tenants = *std::move(tenants)};
    const uint64_t limit = api_.options_.max_form_bytes;
    return {.handle = [this, question = std::move(question)](
                          const net::Request& whole,
                          net::Reply reply) mutable { Handle(std::move(question), whole, std::move(reply)); },
            .max_body_bytes = limit,
            .large_answer = true,
            .too_large =
                [limit](uint64_t bytes) {
                  net::Response response = ErrorResponse(
                      {.message = format("form is {}, limit {}", FormatBytesAbove(bytes, limit), FormatBytes(limit))});
                  response.status = 413;
                  return response;
                }};
  }

  void Answer(PendingQuery query) {
    ApiResult<net::Response> response = Compute(query);
    query.reply(response ? *std::move(response) : ErrorResponse(response.error()));
  }

 private:
  void Handle(Question question, const net::Request& request, net::Reply reply) {
    PendingQuery query{.handler = this,
                       .question = std::move(question),
                       .form = std::string(HasForm(request) ? request.body() : std::string_view()),
                       .url_query = std::string(request.query()),
                       .reply = std::move(reply)};
    if (api_.queue_.TryPush(std::move(query))) return;
    // NOLINTNEXTLINE(bugprone-use-after-move): a queue that refuses an item leaves it unchanged
    query.reply(ErrorResponse(
        {.type = ErrorType::kUnavailable, .message = format("{} queries wait already", api_.options_.queue_capacity)}));
  }

  // Takes the snapshot once, so every part of the answer, streamed ones too, shows the same state of the catalogue, and
  // no lock is held. Steps that take long give up by themselves when the deadline passes; what they return then is not
  // the answer, so the deadline is checked once more at the end. The time in the queue does not count.
  ApiResult<net::Response> Compute(PendingQuery& query) {
    const ApiDependencies& dependencies = api_.dependencies_;
    CatalogState catalog = dependencies.state();
    if (!catalog.waits_for.empty()) {
      return ApiFail(ErrorType::kUnavailable, "the catalogue is not loaded yet: " + catalog.waits_for);
    }
    const auto begin = dependencies.clock.Steady();
    const query::Deadline deadline(dependencies.clock, begin + api_.options_.timeout, api_.stopping_);
    Question& question = query.question;
    question.parameters = net::FormParameters::Parse(query.form);
    question.parameters.Append(query.url_query);
    if (!catalog.warning.empty()) question.warnings.push_back(std::move(catalog.warning));
    question.snapshot = dependencies.snapshot();
    question.now_ms = dependencies.clock.NowMs();
    question.deadline = &deadline;
    ApiResult<net::Response> response = endpoint_(std::move(question));
    if (deadline.passed()) response = GiveUp(deadline);
    const auto spent = dependencies.clock.Steady() - begin;
    if (response && response->next_chunk) {
      std::shared_ptr<void> place = api_.TryBeginStream();
      if (place == nullptr) {
        return ApiFail(ErrorType::kUnavailable,
                       format("{} long answers are being sent already; ask for less, or try again", kMaxStreams));
      }
      MeasureChunks(*response, spent, std::move(place));
    } else {
      seconds_.Observe(std::chrono::duration<double>(spent).count());
    }
    return response;
  }

  std::unexpected<ApiError> GiveUp(const query::Deadline& deadline) const {
    if (deadline.stopping()) return ApiFail(ErrorType::kUnavailable, "the service is stopping");
    return ApiFail(ErrorType::kUnavailable,
                   format("the answer took longer than {} s; ask for less, with a match[] that fewer series match, or "
                          "with fewer regular expressions",
                          std::chrono::duration<double>(api_.options_.timeout).count()));
  }

  // Adds up the time of all chunks. A stream that its reader gives up is not counted. `place` goes with the stream. A
  // chunk may still be computed when the Api has been destroyed, so this captures only what outlives it.
  void MeasureChunks(net::Response& response, std::chrono::steady_clock::duration spent, std::shared_ptr<void> place) {
    response.next_chunk = [&clock = api_.dependencies_.clock, &seconds = seconds_, spent, place = std::move(place),
                           inner = std::move(response.next_chunk)](std::string& chunk) mutable {
      const auto begin = clock.Steady();
      inner(chunk);
      spent += clock.Steady() - begin;
      if (chunk.empty()) seconds.Observe(std::chrono::duration<double>(spent).count());
    };
  }

  Api& api_;
  const Endpoint endpoint_;
  telemetry::Histogram& seconds_;
};

Api::Api(ApiOptions options, ApiDependencies dependencies)
    : options_(std::move(options)), dependencies_(std::move(dependencies)), queue_(options_.queue_capacity) {
  auto add = [this](std::string_view path, std::string_view name, Endpoint endpoint) {
    handlers_.emplace_back(path, std::make_unique<EndpointHandler>(*this, name, endpoint));
  };
  add("/api/v1/series", "series", &AnswerSeries);
  add("/api/v1/labels", "labels", &AnswerLabels);
  add("/api/v1/label/*", "label_values", &AnswerLabelValues);
  add("/api/v1/metadata", "metadata", &AnswerMetadata);
  add("/api/v1/query", "query", &AnswerQuery);
  add("/api/v1/query_range", "query_range", &AnswerQueryRange);
  // Answered while the catalogue is loaded, too: data sources ask for it first.
  handlers_.emplace_back("/api/v1/status/buildinfo",
                         std::make_unique<Page>(kMethods, [version = options_.version] { return BuildInfo(version); }));
  for (unsigned i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this] {
      while (std::optional<PendingQuery> query = queue_.Pop()) query->handler->Answer(*std::move(query));
    });
  }
}

Api::~Api() {
  stopping_ = true;
  queue_.Close();
  for (std::thread& thread : threads_) thread.join();
}

void Api::RegisterRoutes(net::Router& router) {
  for (const auto& [path, handler] : handlers_) {
    for (const std::string_view prefix : {"", "/prometheus", "/select/{tenant}/prometheus"}) {
      router.Add(std::string(prefix) + path, *handler);
    }
  }
}

// A place among the streams, held as long as the pointer; null if all are taken. It counts first and compares then, so
// two threads cannot take the last place both. A place that does not fit is given back when `place` is destroyed.
std::shared_ptr<void> Api::TryBeginStream() {
  const bool fits = ++*streams_ <= kMaxStreams;
  std::shared_ptr<void> place(streams_.get(), [streams = streams_](void*) { --*streams; });
  return fits ? place : nullptr;
}

}  // namespace mi::web
