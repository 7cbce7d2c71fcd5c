#include "receive/send_handler.h"

#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/ascii.h"
#include "base/format.h"
#include "base/json.h"
#include "receive/negotiation.h"

namespace mi::receive {
namespace {

using codec::OpenTsdbPoint;

std::string JsonString(std::string_view text) {
  std::string quoted;
  AppendJsonString(text, quoted);
  return quoted;
}

net::Response Json(int status, std::string body) {
  return {.status = status, .content_type = "application/json; charset=utf-8", .body = std::move(body)};
}

// An error in OpenTSDB's form.
net::Response ErrorAnswer(int status, std::string_view message, std::string_view details = {}) {
  std::string body = format(R"({{"error":{{"code":{},"message":{})", status, JsonString(message));
  if (!details.empty()) body += format(R"(,"details":{})", JsonString(details));
  return Json(status, body + "}}");
}

net::Response TryLater(std::string_view because) {
  net::Response response = ErrorAnswer(503, because);
  response.headers.emplace_back("Retry-After", "5");
  return response;
}

net::Response RefuseRequest(const Error& error) {
  return IsWorthRepeating(error.code()) ? TryLater(error.message()) : ErrorAnswer(400, error.message());
}

bool IsJson(std::string_view content_type) {
  const std::string_view type = TrimSpace(content_type.substr(0, content_type.find(';')));
  for (const char* json : {"", "application/json", "text/json", "text/plain", "application/x-www-form-urlencoded"}) {
    if (EqualsIgnoringCase(type, json)) return true;  // the last one is what `curl -d` sends
  }
  return false;
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
  if (encoding != "identity" && !encoding.empty()) return ErrorAnswer(415, "points must not be compressed");
  return std::nullopt;
}

// The most that `?details` shows: each fault repeats its point. `failed` counts all of them.
constexpr size_t kMaxFaultsShown = 1'000;
constexpr size_t kMaxFaultBytes = 1 << 20;

// What a thread of the server parses itself: senders put up to a hundred points into a request.
constexpr size_t kShortBodyBytes = 64 << 10;

// The most memory that a byte of a body takes while it is parsed. simdjson's document takes 14 bytes, also for "[[[[".
constexpr uint64_t kMemoryPerByte = 16;

}  // namespace

// The points of one request: the valid ones, to be sent on, and the counts and faults that the sender gets.
class SendHandler::PointReport {
 public:
  explicit PointReport(Verbosity verbosity) : verbosity_(verbosity) {}

  void Accept(const OpenTsdbPoint& point) { accepted_.append(success_++ == 0 ? "[" : ",").append(point.json); }
  void Refuse(const OpenTsdbPoint& point) {
    ++failed_;
    if (verbosity_ != Verbosity::kDetails || shown_ == kMaxFaultsShown) return;
    if (faults_.size() + point.json.size() > kMaxFaultBytes) return;
    ++shown_;
    if (!faults_.empty()) faults_ += ',';
    faults_ += format(R"({{"datapoint":{},"error":{}}})", point.json, JsonString(point.fault));
  }

  bool any_accepted() const { return success_ > 0; }
  std::string TakeAccepted() { return std::move(accepted_) + "]"; }

  net::Response Answer() const {
    const int status = failed_ > 0 ? 400 : 200;
    switch (verbosity_) {
      case Verbosity::kDetails:
        return Json(status, format(R"({{"failed":{},"success":{},"errors":[{}]}})", failed_, success_, faults_));
      case Verbosity::kSummary: return Json(status, format(R"({{"failed":{},"success":{}}})", failed_, success_));
      case Verbosity::kNone: break;
    }
    if (failed_ == 0) return {.status = 204, .content_type = ""};
    return ErrorAnswer(400, "One or more data points had errors", R"(append "details" to the request to see them)");
  }

 private:
  Verbosity verbosity_;
  size_t success_ = 0;
  size_t failed_ = 0;
  size_t shown_ = 0;
  std::string accepted_;  // JSON, without the bracket at the end
  std::string faults_;    // JSON, without brackets
};

SendHandler::Verbosity SendHandler::VerbosityOf(const net::Request& request) {
  const auto parameters = net::FormParameters::Parse(request.query());
  const auto wants = [&](std::string_view name) {
    const auto value = parameters.First(name);
    return value && *value != "false";  // "?details" is enough
  };
  if (wants("details")) return Verbosity::kDetails;
  return wants("summary") ? Verbosity::kSummary : Verbosity::kNone;
}

SendHandler::SendHandler(SendHandlerDeps deps) : deps_(std::move(deps)) {}

void SendHandler::RegisterRoutes(net::Router& router) { router.Add("/api/v1/metrics/send", net::Role::kWrite, *this); }

net::HeadDecision SendHandler::Head(const net::Request& request) {
  net::HeadDecision decision;
  decision.max_body_bytes = deps_.options.Get()->max_body_bytes;
  decision.answer = CheckForm(request);
  if (decision.answer) CountRequest(decision.answer->status, deps_.intake.clock.Steady());
  decision.too_large = [this, limit = decision.max_body_bytes](uint64_t bytes) {
    CountRequest(413, deps_.intake.clock.Steady());
    return ErrorAnswer(413,
                       format("body is {}, limit {} (receive.max_body_bytes)", FormatBytes(bytes), FormatBytes(limit)));
  };
  decision.handle = [this](const net::Request& whole, net::Reply reply) { Handle(whole, std::move(reply)); };
  return decision;
}

void SendHandler::Handle(const net::Request& request, net::Reply to) {
  net::Reply reply([this, begun = deps_.intake.clock.Steady(), to = std::move(to)](net::Response response) mutable {
    CountRequest(response.status, begun);
    to(std::move(response));
  });
  if (refusing_) return reply(TryLater("the service is stopping"));
  Result<model::Tenant> tenant = TenantOf(request);
  if (!tenant) return reply(RefuseRequest(tenant.error()));
  Unread unread{*std::move(tenant), VerbosityOf(request), std::move(reply), MemoryHold(deps_.memory),
                deps_.intake.clock.Steady()};
  const uint64_t bytes = request.body().size();
  if (const Status taken = TakeMemory(unread.memory, kMemoryPerByte * bytes, bytes); !taken) {
    return unread.reply(RefuseRequest(taken.error()));
  }
  if (bytes <= kShortBodyBytes) return Read(request.body(), std::move(unread));
  deps_.long_work.Add(request.peer(), [this, body = Block::CopyOf(request.body()),
                                       unread = std::move(unread)](const Status& run) mutable {
    Status ready = run;
    const auto waited = deps_.intake.clock.Steady() - unread.begun;
    if (ready) ready = CheckWaited(waited, deps_.options.Get()->answer_timeout);
    if (!ready) return unread.reply(RefuseRequest(ready.error()));
    Read({body.data(), body.capacity()}, std::move(unread));
  });
}

// The points take the path of remote write (intake.h, publish_once.h) once they are parsed. Valid points are sent on
// only after their series are durable, and only if the sender does not repeat the request: otherwise they would be sent
// on twice. The valid points of a request that has invalid ones are sent on too, since the answer 400 is not repeated.
void SendHandler::Read(std::string_view body, Unread request) const {
  const auto options = deps_.options.Get();
  const Result<std::vector<OpenTsdbPoint>> points = codec::ReadOpenTsdb(body, options->series);
  if (!points) return request.reply(RefuseRequest(points.error()));
  if (points->empty()) return request.reply(ErrorAnswer(400, "No datapoints found in content"));

  PointReport report(request.verbosity);
  RefusalCounts refused{};
  for (const OpenTsdbPoint& point : *points) {
    if (point.fault.empty()) {
      report.Accept(point);
    } else {
      report.Refuse(point);
      ++refused[static_cast<size_t>(point.refusal)];
    }
  }
  deps_.intake.metrics.CountRefused(refused);
  Result<Intake::Sorted> sorted = Sort(*points, request, *options);
  if (!sorted) return request.reply(RefuseRequest(sorted.error()));
  if (!sorted->to_confirm.empty()) deps_.publish_once.Confirm(std::move(sorted->to_confirm));

  const auto begun = request.begun;
  auto answer = [this, report = std::move(report),
                 request = std::move(request)](const PublishOutcome& outcome) mutable {
    const bool repeat = !outcome.status && IsWorthRepeating(outcome.status.error().code());
    if (!repeat && report.any_accepted() && deps_.send_on) deps_.send_on(report.TakeAccepted());
    request.reply(outcome.status ? report.Answer() : RefuseRequest(outcome.status.error()));
  };
  if (sorted->fresh.empty()) return answer({});
  deps_.publish_once.Publish(std::move(sorted->fresh), begun, options->answer_timeout, std::move(answer));
}

// Each series of the valid points once: points of one series often come together.
Result<Intake::Sorted> SendHandler::Sort(const std::vector<OpenTsdbPoint>& points, Unread& request,
                                         const ReceiveOptions& options) const {
  const model::Fingerprinter fingerprinter(options.identity_secret, request.tenant);
  const model::LocalHasher hasher(deps_.intake.seen.alias_key(), fingerprinter);
  codec::RequestScan scan;
  std::unordered_set<model::Fingerprint> added;
  for (const OpenTsdbPoint& point : points) {
    if (!point.fault.empty()) continue;
    const model::Fingerprint key = hasher(point.canonical);
    if (added.insert(key).second) scan.Add(point.canonical, key);
  }
  Intake intake(deps_.intake);
  Intake::Sorted sorted = intake.Sort(scan, request.tenant, fingerprinter, options, request.memory);
  TRY(std::move(sorted.status));
  if (sorted.counts.refused > 0) return Fail(Errc::kTooLarge, sorted.counts.first_refusal);
  return sorted;
}

void SendHandler::CountRequest(int status, std::chrono::steady_clock::time_point begun) const {
  const std::chrono::duration<double> took = deps_.intake.clock.Steady() - begun;
  deps_.intake.metrics.CountRequest("opentsdb", "identity", status, took.count());
}

}  // namespace mi::receive
