#include "web/api.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <new>
#include <optional>
#include <utility>

#include "base/format.h"
#include "base/json.h"
#include "query/patience.h"
#include "web/endpoints.h"
#include "web/envelope.h"
#include "web/parameters.h"
#include "web/query_pool.h"

namespace mi::web {
namespace {

// The version of Prometheus whose metadata API this speaks: match[] everywhere (2.24), limit and UTF-8 names (3.0).
// Grafana and others choose their requests by it.
constexpr std::string_view kSpokenVersion = "3.0.0";

// Long answers that are on their way at once. Each holds a snapshot and, where tenants are merged, some 48 bytes for
// every series that it has given; its reader sets the pace.
constexpr int kMaxStreams = 16;

constexpr std::string_view kSelect = "/select/";
constexpr std::string_view kLabel = "/api/v1/label/";
constexpr std::string_view kValues = "/values";

// The label of "…/api/v1/label/<label>/values", in which any character may stand; nothing in another path.
std::optional<std::string_view> LabelOf(std::string_view path) {
  const size_t from = path.find(kLabel);
  if (from == std::string_view::npos || !path.ends_with(kValues)) return std::nullopt;
  path.remove_prefix(from + kLabel.size());
  if (path.size() < kValues.size()) return std::nullopt;
  return path.substr(0, path.size() - kValues.size());
}

// The path's tenants, or else the header's.
Parsed<std::vector<std::string>> ReadTenants(std::optional<std::string_view> in_path,
                                             std::optional<std::string_view> in_header) {
  if (in_header && in_header->empty()) in_header.reset();
  if (!in_path && !in_header) return {};
  Parsed<std::vector<std::string>> tenants = ParseTenants(in_path ? *in_path : *in_header);
  if (!tenants || !in_path || !in_header) return tenants;
  const Parsed<std::vector<std::string>> same = ParseTenants(*in_header);
  if (same && *same == *tenants) return tenants;
  return BadData(format("the path asks for tenant \"{}\", X-Scope-OrgID for \"{}\"", *in_path, *in_header));
}

// Bodies of any other type are passed over, as Prometheus does.
bool IsForm(const net::Request& request) {
  std::string type(request.Header("Content-Type").value_or(""));
  std::ranges::transform(type, type.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  return type.starts_with("application/x-www-form-urlencoded");
}

std::optional<net::Response> WrongMethod(const net::Request& request) {
  if (request.method() == "GET" || request.method() == "POST") return std::nullopt;
  return net::Response{.status = 405, .body = "Method Not Allowed\n", .headers = {{"Allow", "GET, POST"}}};
}

net::Response BuildInfo(std::string_view product_version) {
  std::string data = format(R"({{"version":"{}","revision":)", kSpokenVersion);
  AppendJsonString(format("metric-index {}", product_version), data);
  data += R"(,"branch":"","buildUser":"","buildDate":"","goVersion":"","application":"metric-index"})";
  return SuccessResponse(data, {});
}

// Counts itself.
struct StreamPlace {
  explicit StreamPlace(std::shared_ptr<std::atomic<int>> all) : streams(std::move(all)), number(++*streams) {}
  ~StreamPlace() { --*streams; }
  StreamPlace(const StreamPlace&) = delete;
  StreamPlace& operator=(const StreamPlace&) = delete;

  const std::shared_ptr<std::atomic<int>> streams;
  const int number;
};

}  // namespace

class Api::State {
 public:
  State(ApiOptions options, ApiDependencies dependencies)
      : options_(std::move(options)),
        dependencies_(std::move(dependencies)),
        pool_(options_.threads, options_.queue_capacity) {}

  const ApiOptions& options() const { return options_; }
  const ApiDependencies& dependencies() const { return dependencies_; }
  QueryPool& pool() { return pool_; }
  query::Patience NewPatience() const {
    return {dependencies_.clock, dependencies_.clock.Steady() + options_.timeout, stopping_};
  }
  // A place among the streams, held for as long as the pointer; null when there is none left.
  std::shared_ptr<void> TryStream() {
    auto place = std::make_shared<StreamPlace>(streams_);
    return place->number <= kMaxStreams ? place : nullptr;
  }
  void Stop() {
    stopping_ = true;
    pool_.Stop();
  }

 private:
  const ApiOptions options_;
  const ApiDependencies dependencies_;
  std::atomic<bool> stopping_ = false;
  // Shared with the streams: the server gives them up when it likes.
  const std::shared_ptr<std::atomic<int>> streams_ = std::make_shared<std::atomic<int>>(0);
  QueryPool pool_;  // last: its threads end first
};

// One path of the API, under each of its prefixes.
class Api::Endpoint final : public net::Handler {
 public:
  Endpoint(State& state, std::string_view name, Answer answer)
      : state_(state),
        answer_(answer),
        seconds_(state.dependencies().metrics.GetHistogram(
            "query_seconds", "Time to compute the answer to a query, without the time to send it",
            {{"endpoint", std::string(name)}})) {}

  net::HeadDecision Head(const net::Request& request) override {
    net::HeadDecision decision{.answer = WrongMethod(request), .max_body_bytes = state_.options().max_form_bytes};
    decision.handle = [this](const net::Request& whole, net::Reply reply) { Handle(whole, std::move(reply)); };
    decision.too_large = [limit = decision.max_body_bytes](uint64_t bytes) {
      net::Response response = ErrorResponse(
          {.type = ErrorType::kBadData,
           .message = format("form is {}, limit {}", FormatBytesAbove(bytes, limit), FormatBytes(limit))});
      response.status = 413;
      return response;
    };
    return decision;
  }

 private:
  void Handle(const net::Request& request, net::Reply reply) {
    const auto tenants = ReadTenants(net::SegmentBehind(kSelect, request.path()), request.Header("X-Scope-OrgID"));
    if (!tenants) return reply(ErrorResponse(tenants.error()));
    const std::optional<std::string_view> label = LabelOf(request.path());
    if (answer_ == &AnswerLabelValues && !label) return reply({.status = 404, .body = "404 page not found\n"});
    Waiting waiting{.reply = std::move(reply),
                    .form = std::string(IsForm(request) ? request.body() : std::string_view()),
                    .url_query = std::string(request.query()),
                    .asked = {.label = std::string(label.value_or("")), .tenants = *tenants}};
    state_.pool().Run([this, waiting = std::move(waiting)](Turn turn) mutable {
      turn == Turn::kRun ? Run(std::move(waiting)) : Refuse(std::move(waiting));
    });
  }

  // What a request left behind when it was queued.
  struct Waiting {
    net::Reply reply;
    std::string form;
    std::string url_query;
    Asked asked;
  };

  void Refuse(Waiting waiting) {
    waiting.reply(ErrorResponse({.type = ErrorType::kUnavailable,
                                 .message = format("{} queries wait already", state_.options().queue_capacity)}));
  }

  void Run(Waiting waiting) {
    net::Response response;
    try {
      response = Compute(waiting);
    } catch (const std::bad_alloc&) {
      response = ErrorResponse({.type = ErrorType::kUnavailable, .message = "no memory for the answer; ask for less"});
    }
    waiting.reply(std::move(response));
  }

  net::Response Compute(Waiting& waiting) {
    const ApiDependencies& dependencies = state_.dependencies();
    CatalogState catalog = dependencies.state();
    if (!catalog.waits_for.empty()) {
      return ErrorResponse(
          {.type = ErrorType::kUnavailable, .message = "the catalogue is not loaded yet: " + catalog.waits_for});
    }
    const auto begin = dependencies.clock.Steady();
    Asked& asked = waiting.asked;
    asked.parameters = net::FormParameters::Parse(waiting.form);
    asked.parameters.Append(waiting.url_query);
    if (!catalog.warning.empty()) asked.warnings.push_back(std::move(catalog.warning));
    asked.snapshot = dependencies.snapshot();
    asked.now_ms = dependencies.clock.NowMs();
    const query::Patience patience = state_.NewPatience();
    asked.patience = &patience;
    net::Response response = answer_(std::move(asked));
    if (patience.ended()) response = GaveUp(patience);
    const auto spent = dependencies.clock.Steady() - begin;
    if (response.next_chunk) {
      std::shared_ptr<void> place = state_.TryStream();
      if (place == nullptr) return TooManyStreams();
      Measure(response, spent, std::move(place));
    } else {
      seconds_.Observe(std::chrono::duration<double>(spent).count());
    }
    return response;
  }

  net::Response GaveUp(const query::Patience& patience) const {
    const std::string why = patience.stopping()
                                ? "the service is stopping"
                                : format(
                                      "the answer took longer than {} s; ask for less, with a match[] that fewer "
                                      "series match, or with fewer regular expressions",
                                      std::chrono::duration<double>(state_.options().timeout).count());
    return ErrorResponse({.type = ErrorType::kUnavailable, .message = why});
  }

  static net::Response TooManyStreams() {
    return ErrorResponse(
        {.type = ErrorType::kUnavailable,
         .message = format("{} long answers are being sent already; ask for less, or try again", kMaxStreams)});
  }

  // Adds up the time that the chunks take; a stream that its reader gives up is not counted.
  void Measure(net::Response& response, std::chrono::steady_clock::duration spent, std::shared_ptr<void> place) {
    response.next_chunk = [this, spent, place = std::move(place),
                           inner = std::move(response.next_chunk)](std::string& chunk) mutable {
      const Clock& clock = state_.dependencies().clock;
      const auto begin = clock.Steady();
      inner(chunk);
      spent += clock.Steady() - begin;
      if (chunk.empty()) seconds_.Observe(std::chrono::duration<double>(spent).count());
    };
  }

  State& state_;
  const Answer answer_;
  telemetry::Histogram& seconds_;
};

// Says which API this is; also while the catalogue is loaded, since data sources ask it first.
class Api::BuildInfoEndpoint final : public net::Handler {
 public:
  explicit BuildInfoEndpoint(std::string_view version) : version_(version) {}
  net::HeadDecision Head(const net::Request& request) override {
    return {.answer = WrongMethod(request),
            .handle = [this](const net::Request&, net::Reply reply) { reply(BuildInfo(version_)); }};
  }

 private:
  const std::string version_;
};

Api::Api(ApiOptions options, ApiDependencies dependencies)
    : state_(std::make_unique<State>(std::move(options), std::move(dependencies))) {
  auto add = [this](std::string_view path, std::string_view name, Answer answer) {
    routes_.push_back({.path = std::string(path), .handler = std::make_unique<Endpoint>(*state_, name, answer)});
  };
  add("/api/v1/series", "series", &AnswerSeries);
  add("/api/v1/labels", "labels", &AnswerLabels);
  add("/api/v1/label/*", "label_values", &AnswerLabelValues);
  add("/api/v1/metadata", "metadata", &AnswerMetadata);
  add("/api/v1/query", "query", &AnswerQuery);
  add("/api/v1/query_range", "query_range", &AnswerQueryRange);
  routes_.push_back(
      {.path = "/api/v1/status/buildinfo", .handler = std::make_unique<BuildInfoEndpoint>(state_->options().version)});
}

Api::~Api() {
  // Its threads run jobs of the handlers.
  state_->Stop();
}

void Api::RegisterRoutes(net::Router& router) {
  for (const Route& route : routes_) {
    for (const std::string_view prefix : {"", "/prometheus", "/select/{tenant}/prometheus"}) {
      router.Add(std::string(prefix) + route.path, *route.handler);
    }
  }
}

}  // namespace mi::web
