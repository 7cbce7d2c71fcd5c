#include "web/api.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "base/ascii.h"
#include "base/format.h"
#include "base/json.h"
#include "base/mutex.h"
#include "base/time_text.h"
#include "query/bounds.h"
#include "web/content_coding.h"
#include "web/envelope.h"
#include "web/page.h"
#include "web/parameters.h"

namespace mi::web {
namespace {

// The version of Prometheus that we report, by which Grafana and others choose their requests. We offer what its
// metadata API offers: match[] on every endpoint (since 2.24), limit and UTF-8 names (since 3.0).
constexpr std::string_view kPrometheusVersion = "3.0.0";

// Each long answer holds a snapshot and kStreamBytes or more. Its reader sets the pace, so one reader may have half.
constexpr int kMaxStreams = 128;
constexpr int kStreamShare = kMaxStreams / 2;
constexpr uint64_t kStreamBytes = codec::StreamCompressor::kBytes + (512 << 10);  // and some chunks on their way

constexpr std::string_view kMethods = "GET, HEAD, POST, OPTIONS";

// What Prometheus answers when it scrapes nothing and has no rules. Clients that ask for it are content.
constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kEmptyPages = {
    {{"/api/v1/rules", R"({"groups":[]})"},
     {"/api/v1/alerts", R"({"alerts":[]})"},
     {"/api/v1/alertmanagers", R"({"activeAlertmanagers":[],"droppedAlertmanagers":[]})"},
     {"/api/v1/targets", R"({"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}})"},
     {"/api/v1/targets/metadata", "[]"},
     {"/api/v1/scrape_pools", R"({"scrapePools":[]})"},
     {"/api/v1/query_exemplars", "[]"},
     {"/api/v1/status/flags", "{}"},
     {"/api/v1/status/config", R"({"yaml":""})"},
     {"/api/v1/status/walreplay", R"({"min":0,"max":0,"current":0})"}}};

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

// The tenants of the path, or else of the header, or else those that the caller may read; empty: all. Path and header
// may name the same.
ApiResult<std::vector<std::string>> ReadTenants(const net::Request& request) {
  const std::optional<std::string> in_path = net::SegmentBehind("/select/", request.path());
  const std::string_view in_header = request.Header("X-Scope-OrgID").value_or("");
  if (!in_path && in_header.empty()) {
    const net::Caller* const caller = request.caller();
    return caller == nullptr || caller->all_tenants ? std::vector<std::string>() : caller->tenants;
  }
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

// Discloses only the times. Grafana reads nothing else of it.
net::Response RuntimeInfo(int64_t started_ms, int64_t now_ms) {
  const std::string started = FormatRfc3339(started_ms);
  return SuccessResponse(
      format(R"({{"startTime":"{}","CWD":"","hostname":"","serverTime":"{}","reloadConfigSuccess":true,)"
             R"("lastConfigTime":"{}","corruptionCount":0,"goroutineCount":0,"GOMAXPROCS":0,"GOMEMLIMIT":0,"GOGC":"",)"
             R"("GODEBUG":"","storageRetention":""}})",
             started, FormatRfc3339(now_ms), started),
      {});
}

// About what net::FormParameters takes for this text: decoded copies, and two strings per parameter in a vector that
// grows.
uint64_t MemoryOfParameters(std::string_view encoded) {
  const auto parameters = static_cast<uint64_t>(std::ranges::count(encoded, '&')) + 1;
  return encoded.size() + 2 * parameters * sizeof(std::pair<std::string, std::string>);
}

// Whose turn a query takes. A user behind a proxy must not get many turns by naming tenants that do not exist. So only
// a query for exactly one tenant, which exists, takes a turn of that tenant.
Sender SenderOf(const net::Request& request, const std::vector<std::string>& tenants,
                const catalog::Snapshot& snapshot) {
  const bool has_turns = tenants.size() == 1 && snapshot.HasTenant(tenants.front());
  return {.client = std::string(request.peer()), .tenant = has_turns ? tenants.front() : "*"};
}

net::Response BuildInfo(std::string_view product_version) {
  std::string data = format(R"({{"version":"{}","revision":)", kPrometheusVersion);
  AppendJsonString(format("metric-index {}", product_version), data);
  data += R"(,"branch":"","buildUser":"","buildDate":"","goVersion":"","application":"metric-index"})";
  return SuccessResponse(data, {});
}

}  // namespace

// The long answers that are being sent. Threads: safe.
class Api::Streams {
 public:
  // A place, held as long as the pointer; null if the client has its share, or if all are taken.
  static std::shared_ptr<void> TryBegin(const std::shared_ptr<Streams>& streams, const std::string& client) {
    MutexLock lock(streams->mutex_);
    const auto own = streams->by_client_.find(client);
    const bool has_share = own != streams->by_client_.end() && own->second == kStreamShare;
    if (streams->all_ == kMaxStreams || has_share) return nullptr;
    ++streams->all_;
    ++streams->by_client_[client];
    return {streams.get(), [streams, client](Streams* self) { self->End(client); }};
  }

 private:
  void End(const std::string& client) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    --all_;
    if (--by_client_[client] == 0) by_client_.erase(client);
  }

  Mutex mutex_;
  int all_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, int> by_client_ GUARDED_BY(mutex_);
};

// One path of the API, under each of its prefixes.
class Api::EndpointHandler final : public net::Handler {
 public:
  static constexpr std::string_view kStoppingText = "the service is stopping";

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
    auto abandoned = std::make_shared<std::atomic<bool>>(false);
    return {.handle =
                [this, question = std::move(question), abandoned](const net::Request& whole, net::Reply reply) mutable {
                  Handle(std::move(question), std::move(abandoned), whole, std::move(reply));
                },
            .max_body_bytes = limit,
            .large_answer = true,
            .too_large =
                [limit](uint64_t bytes) {
                  net::Response response = ErrorResponse(
                      {.message = format("form is {}, limit {}", FormatBytesAbove(bytes, limit), FormatBytes(limit))});
                  response.status = 413;
                  return response;
                },
            .abandoned = abandoned};
  }

  void Answer(PendingQuery query) {
    ApiResult<net::Response> computed = Compute(query);
    net::Response response = computed ? *std::move(computed) : ErrorResponse(computed.error());
    Compress(query.coding, response);
    query.reply(std::move(response));
  }

  static void Refuse(net::Reply reply, std::string why) {
    reply(ErrorResponse({.type = ErrorType::kUnavailable, .message = std::move(why)}));
  }

 private:
  void Handle(Question question, std::shared_ptr<const std::atomic<bool>> abandoned, const net::Request& request,
              net::Reply reply) {
    constexpr uint64_t kBytesPerQuery = 2 << 10;
    Sender sender = SenderOf(request, question.tenants, *api_.dependencies_.snapshot());
    PendingQuery query{.handler = this,
                       .question = std::move(question),
                       .form = std::string(HasForm(request) ? request.body() : std::string_view()),
                       .url_query = std::string(request.query()),
                       .sender = std::move(sender),
                       .coding = ChooseCoding(request.Header("Accept-Encoding").value_or("")),
                       .arrived = api_.dependencies_.clock.Steady(),
                       .abandoned = std::move(abandoned),
                       .memory = MemoryHold(api_.dependencies_.memory),
                       .reply = std::move(reply)};
    const uint64_t texts = query.form.size() + query.url_query.size();
    const uint64_t parameters = MemoryOfParameters(query.form) + MemoryOfParameters(query.url_query);
    if (!query.memory.TryGrow(texts + parameters + kBytesPerQuery)) {
      return Refuse(std::move(query.reply), OutOfMemoryText());
    }
    using Pushed = FairQueue<PendingQuery>::Pushed;
    const Pushed pushed = api_.queue_.TryPush(Sender(query.sender), std::move(query));
    // NOLINTBEGIN(bugprone-use-after-move): a queue that refuses an item leaves it unchanged
    switch (pushed) {
      case Pushed::kTaken: return;
      case Pushed::kFull:
        return Refuse(std::move(query.reply), format("{} queries wait already", api_.options_.queue_capacity));
      case Pushed::kShareIsFull:
        return Refuse(std::move(query.reply), format("{} queries of this client wait already, of {} in all",
                                                     api_.options_.queue_share, api_.options_.queue_capacity));
      case Pushed::kClosed: return Refuse(std::move(query.reply), std::string(kStoppingText));
    }
    // NOLINTEND(bugprone-use-after-move)
  }

  // Takes the snapshot once, so every part of the answer, streamed ones too, shows the same state of the catalogue, and
  // no lock is held. Steps that take long give up by themselves when a bound is exceeded; what they return then is not
  // the answer, so the bounds are checked once more at the end. The time in the queue counts: who asked has waited.
  ApiResult<net::Response> Compute(PendingQuery& query) {
    const ApiDependencies& dependencies = api_.dependencies_;
    CatalogState catalog = dependencies.state();
    if (!catalog.waits_for.empty()) {
      return ApiFail(ErrorType::kUnavailable, "the catalogue is not loaded yet: " + catalog.waits_for);
    }
    const auto begin = dependencies.clock.Steady();
    Question& question = query.question;
    question.parameters = net::FormParameters::Parse(query.form);
    question.parameters.Append(query.url_query);
    const auto asked = TRY(ReadTimeout(question.parameters));
    const std::chrono::milliseconds most = api_.options_.timeout;
    // A time below 0 is over at once. Far below, the deadline would overflow.
    const std::chrono::milliseconds timeout = std::clamp(asked.value_or(most), std::chrono::milliseconds(0), most);
    query::Bounds bounds(
        dependencies.clock,
        {.deadline = query.arrived + timeout, .stopping = api_.stopping_, .abandoned = std::move(query.abandoned)},
        std::move(query.memory));
    if (bounds.exceeded()) return GiveUp(bounds, timeout);
    if (!catalog.warning.empty()) question.warnings.push_back(std::move(catalog.warning));
    question.snapshot = dependencies.snapshot();
    question.now_ms = dependencies.clock.NowMs();
    question.bounds = &bounds;
    ApiResult<net::Response> response = endpoint_(std::move(question));
    if (response && response->next_chunk) bounds.Hold(kStreamBytes);
    if (bounds.exceeded()) return GiveUp(bounds, timeout);
    const auto spent = dependencies.clock.Steady() - begin;
    if (response && response->next_chunk) {
      std::shared_ptr<void> place = Streams::TryBegin(api_.streams_, query.sender.client);
      if (place == nullptr) {
        return ApiFail(
            ErrorType::kUnavailable,
            format("{} long answers are being sent already, or {} to this client; ask for less, or try again",
                   kMaxStreams, kStreamShare));
      }
      MeasureChunks(*response, spent, std::move(place), bounds.TakeMemory());
    } else {
      seconds_.Observe(std::chrono::duration<double>(spent).count());
    }
    return response;
  }

  std::unexpected<ApiError> GiveUp(query::Bounds& bounds, std::chrono::milliseconds timeout) const {
    using Reason = query::Bounds::Reason;
    switch (bounds.reason()) {
      case Reason::kStopping: return ApiFail(ErrorType::kUnavailable, std::string(kStoppingText));
      case Reason::kAbandoned: return ApiFail(ErrorType::kUnavailable, "the client has closed the connection");
      case Reason::kMemory: return ApiFail(ErrorType::kUnavailable, OutOfMemoryText());
      case Reason::kDeadline:
      case Reason::kNone: break;
    }
    return ApiFail(ErrorType::kTimeout,
                   format("the answer took longer than {} s; ask for less, with a match[] that fewer series match, or "
                          "with fewer regular expressions",
                          std::chrono::duration<double>(timeout).count()));
  }

  std::string OutOfMemoryText() const {
    const MemoryBudget& memory = api_.dependencies_.memory;
    return format(
        "there is no memory for this query: {} are in use, limit {} (receive.max_buffered_bytes); ask for less, or try "
        "again",
        FormatBytes(memory.used()), FormatBytes(memory.limit()));
  }

  // Adds up the time of all chunks. A stream that its reader gives up is not counted. `place` and `memory` go with the
  // stream. A chunk may still be computed when the Api has been destroyed, so this captures only what outlives it.
  void MeasureChunks(net::Response& response, std::chrono::steady_clock::duration spent, std::shared_ptr<void> place,
                     MemoryHold memory) {
    // Shared, because net::Response can be copied and next_chunk with it.
    auto held = std::make_shared<MemoryHold>(std::move(memory));
    response.next_chunk = [&clock = api_.dependencies_.clock, &seconds = seconds_, spent, place = std::move(place),
                           held = std::move(held), inner = std::move(response.next_chunk)](std::string& chunk) mutable {
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
    : options_(std::move(options)),
      dependencies_(std::move(dependencies)),
      streams_(std::make_shared<Streams>()),
      queue_({.capacity = options_.queue_capacity,
              .share = options_.queue_share,
              .running_share = std::max(options_.threads, 2U) - 1}) {
  auto add = [this](std::string_view path, std::string_view name, Endpoint endpoint) {
    Add(path, std::make_unique<EndpointHandler>(*this, name, endpoint));
  };
  add("/api/v1/series", "series", &AnswerSeries);
  add("/api/v1/labels", "labels", &AnswerLabels);
  add("/api/v1/label/*", "label_values", &AnswerLabelValues);
  add("/api/v1/metadata", "metadata", &AnswerMetadata);
  add("/api/v1/query", "query", &AnswerQuery);
  add("/api/v1/query_range", "query_range", &AnswerQueryRange);
  add("/api/v1/format_query", "format_query", &AnswerFormatQuery);
  add("/api/v1/parse_query", "parse_query", &AnswerParseQuery);
  // Answered while the catalogue is loaded, too: data sources ask for them first.
  AddPage("/api/v1/status/buildinfo", [version = options_.version] { return BuildInfo(version); });
  AddPage("/api/v1/status/runtimeinfo", [&clock = dependencies_.clock, started_ms = dependencies_.clock.NowMs()] {
    return RuntimeInfo(started_ms, clock.NowMs());
  });
  for (const auto& [path, data] : kEmptyPages) {
    AddPage(path, [data] { return SuccessResponse(data, {}); });
  }
  for (unsigned i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this] {
      while (auto turn = queue_.Pop()) {
        EndpointHandler* const handler = turn->item.handler;
        handler->Answer(std::move(turn->item));
      }
    });
  }
}

Api::~Api() {
  Stop();
  for (std::thread& thread : threads_) thread.join();
}

void Api::Stop() {
  stopping_ = true;
  for (PendingQuery& query : queue_.Close()) {
    EndpointHandler::Refuse(std::move(query.reply), std::string(EndpointHandler::kStoppingText));
  }
}

void Api::AddPage(std::string_view path, std::function<net::Response()> make) {
  Add(path, std::make_unique<Page>(kMethods, std::move(make)));
}

void Api::Add(std::string_view path, std::unique_ptr<net::Handler> handler) {
  handlers_.emplace_back(path, std::make_unique<CorsHandler>(options_.cors, kMethods, std::move(handler)));
}

void Api::RegisterRoutes(net::Router& router) {
  for (const auto& [path, handler] : handlers_) {
    for (const std::string_view prefix : {"", "/prometheus", "/select/{tenant}/prometheus"}) {
      router.Add(std::string(prefix) + path, net::Role::kRead, *handler);
    }
  }
}

}  // namespace mi::web
