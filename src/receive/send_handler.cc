#include "receive/send_handler.h"

#include <algorithm>
#include <memory>
#include <unordered_set>
#include <utility>

#include "base/format.h"
#include "base/json.h"
#include "codec/opentsdb.h"
#include "model/fingerprint.h"
#include "receive/write_tenant.h"

namespace mi::receive {
namespace {

using codec::OpenTsdbPoint;
using dedupe::Seen;
using dedupe::Touch;

std::string Quoted(std::string_view text) {
  std::string quoted;
  AppendJsonString(text, quoted);
  return quoted;
}

net::Response Json(int status, std::string body) {
  return {.status = status, .content_type = "application/json; charset=utf-8", .body = std::move(body)};
}

// As OpenTSDB says what it cannot do.
net::Response ErrorAnswer(int status, std::string_view message, std::string_view details = {}) {
  std::string body = format(R"({{"error":{{"code":{},"message":{})", status, Quoted(message));
  if (!details.empty()) body += format(R"(,"details":{})", Quoted(details));
  return Json(status, body + "}}");
}

net::Response RefuseUnreadable(const Error& error) { return ErrorAnswer(400, error.message()); }

bool IsJson(std::string_view content_type) {
  std::string type(content_type.substr(0, content_type.find(';')));
  while (type.ends_with(' ')) type.pop_back();
  std::ranges::transform(type, type.begin(), [](unsigned char c) { return std::tolower(c); });
  return type.empty() || type == "application/json" || type == "text/json" || type == "text/plain" ||
         type == "application/x-www-form-urlencoded";  // what curl -d says
}

std::optional<net::Response> CheckForm(const net::Request& request) {
  if (request.method() != "POST") {
    net::Response response = ErrorAnswer(405, "points are sent with POST");
    response.headers.emplace_back("Allow", "POST");
    return response;
  }
  if (!IsJson(request.Header("Content-Type").value_or(""))) {
    return ErrorAnswer(415, "points are JSON: Content-Type: application/json");
  }
  const std::string_view encoding = request.Header("Content-Encoding").value_or("identity");
  if (encoding != "identity" && !encoding.empty()) return ErrorAnswer(415, "points are not to be compressed");
  return std::nullopt;
}

// What the sender wants to read: nothing but the status, the counts, or each fault.
enum class Verbosity : uint8_t { kNone, kSummary, kDetails };

Verbosity VerbosityOf(const net::Request& request) {
  const auto parameters = net::FormParameters::Parse(request.query());
  const auto wants = [&](std::string_view name) {
    const auto value = parameters.First(name);
    return value && *value != "false";  // "?details" is enough
  };
  if (wants("details")) return Verbosity::kDetails;
  return wants("summary") ? Verbosity::kSummary : Verbosity::kNone;
}

// What `?details` tells at most: each fault repeats its point. `failed` counts all.
constexpr size_t kMaxFaultsTold = 1'000;
constexpr size_t kMaxFaultBytes = 1 << 20;

// The points of one request, and what is told of them.
struct Verdict {
  size_t good = 0;
  size_t bad = 0;
  size_t told = 0;
  std::string faults;  // JSON of those that were refused, with commas between

  void Refuse(const OpenTsdbPoint& point, Verbosity verbosity) {
    ++bad;
    if (verbosity != Verbosity::kDetails || told == kMaxFaultsTold) return;
    if (faults.size() + point.json.size() > kMaxFaultBytes) return;
    ++told;
    if (!faults.empty()) faults += ',';
    faults += format(R"({{"datapoint":{},"error":{}}})", point.json, Quoted(point.fault));
  }
};

net::Response AnswerTo(const Verdict& verdict, Verbosity verbosity, const Status& durable) {
  if (!durable) {
    if (!IsWorthRepeating(durable.error().code())) return RefuseUnreadable(durable.error());
    net::Response response = ErrorAnswer(503, durable.error().message());
    response.headers.emplace_back("Retry-After", "5");
    return response;
  }
  const int status = verdict.bad > 0 ? 400 : 200;
  switch (verbosity) {
    case Verbosity::kDetails:
      return Json(status,
                  format(R"({{"failed":{},"success":{},"errors":[{}]}})", verdict.bad, verdict.good, verdict.faults));
    case Verbosity::kSummary: return Json(status, format(R"({{"failed":{},"success":{}}})", verdict.bad, verdict.good));
    case Verbosity::kNone: break;
  }
  if (verdict.bad == 0) return {.status = 204, .content_type = ""};
  return ErrorAnswer(400, "One or more data points had errors", R"(append "details" to the request to see them)");
}

}  // namespace

// One request on its way.
struct SendHandler::Sorted {
  Verbosity verbosity = Verbosity::kNone;
  Verdict verdict;
  Arrivals arrivals;
  std::string good;  // JSON array of the points to be sent on
};

SendHandler::SendHandler(SendHandlerOptions options, SendHandlerDeps deps)
    : options_(std::move(options)), deps_(std::move(deps)) {}

void SendHandler::RegisterRoutes(net::Router& router) { router.Add("/api/v1/metrics/send", *this); }

net::HeadDecision SendHandler::Head(const net::Request& request) {
  net::HeadDecision decision;
  decision.max_body_bytes = deps_.options.Get()->max_body_bytes;
  decision.answer = CheckForm(request);
  if (decision.answer) CountRequest(decision.answer->status, deps_.clock.Steady());
  decision.too_large = [this, limit = decision.max_body_bytes](uint64_t bytes) {
    CountRequest(413, deps_.clock.Steady());
    return ErrorAnswer(413,
                       format("body is {}, limit {} (receive.max_body_bytes)", FormatBytes(bytes), FormatBytes(limit)));
  };
  decision.handle = [this](const net::Request& whole, net::Reply reply) { Handle(whole, std::move(reply)); };
  return decision;
}

void SendHandler::Handle(const net::Request& request, net::Reply to) {
  net::Reply reply([this, begun = deps_.clock.Steady(), to = std::move(to)](net::Response response) mutable {
    CountRequest(response.status, begun);
    to(std::move(response));
  });
  if (refusing_) return reply(AnswerTo({}, Verbosity::kNone, Fail(Errc::kUnavailable, "stopping")));
  const Result<model::Tenant> tenant = TenantOf(request);
  if (!tenant) return reply(RefuseUnreadable(tenant.error()));
  const auto options = deps_.options.Get();
  Result<Sorted> sorted = Sort(request, *tenant, *options);
  if (!sorted) return reply(RefuseUnreadable(sorted.error()));

  Arrivals arrivals = std::move(sorted->arrivals);
  auto answer = [this, sorted = *std::move(sorted), reply = std::move(reply)](const Status& durable) mutable {
    net::Response response = AnswerTo(sorted.verdict, sorted.verbosity, durable);
    if (response.status < 500 && deps_.send_on && sorted.verdict.good > 0) deps_.send_on(std::move(sorted.good));
    reply(std::move(response));
  };
  if (arrivals.empty()) {
    answer({});
  } else {
    deps_.departures.Send(std::move(arrivals), options->answer_timeout, std::move(answer));
  }
}

Result<SendHandler::Sorted> SendHandler::Sort(const net::Request& request, const model::Tenant& tenant,
                                              const ReceiveOptions& options) {
  Result<std::vector<OpenTsdbPoint>> points = codec::ReadOpenTsdb(request.body(), options.series);
  if (!points) return Fail(points.error());
  if (points->empty()) return Fail(Error(Errc::kInvalid, "No datapoints found in content"));
  Sorted sorted{.verbosity = VerbosityOf(request)};
  std::vector<const OpenTsdbPoint*> good;
  sorted.good = "[";
  for (const OpenTsdbPoint& point : *points) {
    if (!point.fault.empty()) {
      sorted.verdict.Refuse(point, sorted.verbosity);
      deps_.metrics.CountRefused(point.refusal);
      continue;
    }
    if (deps_.send_on) sorted.good.append(good.empty() ? "" : ",").append(point.json);
    good.push_back(&point);
  }
  sorted.good += ']';
  sorted.verdict.good = good.size();
  SortSeries(good, tenant, sorted.arrivals);
  return sorted;
}

void SendHandler::CountRequest(int status, std::chrono::steady_clock::time_point begun) const {
  const std::chrono::duration<double> took = deps_.clock.Steady() - begun;
  deps_.metrics.CountRequest("opentsdb", "identity", status, took.count());
}

void SendHandler::SortSeries(const std::vector<const codec::OpenTsdbPoint*>& points, const model::Tenant& tenant,
                             Arrivals& arrivals) {
  const model::Fingerprinter fingerprinter(options_.identity_secret, tenant);
  std::vector<model::Fingerprint> keys;
  std::vector<const OpenTsdbPoint*> series;
  std::unordered_set<model::Fingerprint> taken;  // many points of one series come together
  for (const OpenTsdbPoint* point : points) {
    const model::Fingerprint key = fingerprinter(point->canonical);
    if (!taken.insert(key).second) continue;
    keys.push_back(key);
    series.push_back(point);
  }
  std::vector<Seen> answers(keys.size());
  deps_.seen.Lookup(keys, std::vector<Touch>(keys.size(), Touch::kActive), answers);
  std::vector<model::Fingerprint> active;
  Arrivals due;
  const auto add = [&](Arrivals& to, size_t i) {
    if (to.batch == nullptr) to.batch = std::make_shared<model::SeriesBatch>(tenant, deps_.clock.NowMs());
    to.batch->Add(keys[i], series[i]->canonical);
    to.fingerprints.push_back(keys[i]);
  };
  for (size_t i = 0; i < keys.size(); ++i) {
    switch (answers[i]) {
      case Seen::kUnknown: add(arrivals, i); break;
      case Seen::kKnown: break;
      case Seen::kKnownNewWindow: active.push_back(keys[i]); break;
      case Seen::kKnownConfirm: add(due, i); break;
    }
  }
  deps_.metrics.known.Add(static_cast<double>(keys.size() - arrivals.fingerprints.size()));
  if (!active.empty()) deps_.activity.PublishActivity({deps_.clock.NowMs(), std::move(active)});
  if (!due.empty()) deps_.departures.Confirm(std::move(due));
}

}  // namespace mi::receive
