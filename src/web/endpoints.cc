#include "web/endpoints.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/format.h"
#include "base/json.h"
#include "base/utf8.h"
#include "query/metadata.h"
#include "query/scalar.h"
#include "web/parameters.h"
#include "web/series_json.h"

namespace mi::web {
namespace {

constexpr int64_t kMaxPoints = 11'000;  // Prometheus' own bound

// Moves the tenants out of the question.
ApiResult<query::Scope> ScopeOf(Question& question) {
  query::Scope scope = TRY(ReadScope(question.parameters, std::move(question.tenants)));
  scope.deadline = question.deadline;
  return scope;
}

net::Response StringsResponse(const query::Strings& strings, std::vector<std::string> warnings) {
  net::Response response{.content_type = std::string(kJson)};
  AppendSuccessHead(response.body);
  char separator = '[';
  if (strings.items.empty()) response.body += separator;
  for (const std::string_view item : strings.items) {
    response.body += std::exchange(separator, ',');
    AppendJsonString(item, response.body);
  }
  response.body += ']';
  if (strings.cut) warnings.emplace_back(kCutWarning);
  AppendSuccessTail(warnings, response.body);
  return response;
}

// {"up":[{"type":"gauge","unit":"","help":"…"},…],…}
void AppendMetadata(const query::FoundMetadata& found, std::string& out) {
  out += '{';
  bool first_family = true;
  for (const auto& [family, entries] : found.families) {
    if (!std::exchange(first_family, false)) out += ',';
    AppendJsonString(family, out);
    char separator = '[';
    out += ':';
    for (const model::MetricMetadata& entry : entries) {
      out += std::exchange(separator, ',');
      out += R"({"type":)";
      AppendJsonString(entry.type, out);
      out += R"(,"unit":)";
      AppendJsonString(entry.unit, out);
      out += R"(,"help":)";
      AppendJsonString(entry.help, out);
      out += '}';
    }
    out += ']';
  }
  out += '}';
}

// As Prometheus writes a sample's value: the shortest digits that give it back, never an exponent.
void AppendNumber(double number, std::string& out) {
  if (std::isnan(number)) {
    out += "NaN";
  } else if (std::isinf(number)) {
    out += number > 0 ? "+Inf" : "-Inf";
  } else {
    std::array<char, 400> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, std::chars_format::fixed);
    out.append(digits.data(), end.ptr);
  }
}

// [1700000000.123,"2"]
void AppendSample(int64_t time_ms, double number, std::string& out) {
  const uint64_t magnitude = time_ms < 0 ? 0 - static_cast<uint64_t>(time_ms) : static_cast<uint64_t>(time_ms);
  out += time_ms < 0 ? "[-" : "[";
  out += format("{}", magnitude / 1000);
  if (magnitude % 1000 != 0) out += format(".{:03}", magnitude % 1000);
  out += ",\"";
  AppendNumber(number, out);
  out += "\"]";
}

ApiResult<query::Value> Evaluate(std::string_view expression, int64_t time_ms) {
  auto value = query::Evaluate(expression, time_ms);
  if (value) return *value;
  if (value.error().kind == query::ParseError::Kind::kNeedsSamples) {
    return ApiFail(ErrorType::kExecution, std::move(value.error().message));
  }
  return InvalidParameter("query", value.error().message);
}

}  // namespace

ApiResult<net::Response> AnswerSeries(Question question) {
  if (question.parameters.All("match[]").empty()) return BadData("no match[] parameter provided");
  const size_t limit = TRY(ReadLimit(question.parameters));
  const query::Scope scope = TRY(ScopeOf(question));
  catalog::SeriesSet found = query::Select(*question.snapshot, scope);
  return SeriesResponse({std::move(question.snapshot), std::move(found), limit}, std::move(question.warnings));
}

ApiResult<net::Response> AnswerLabels(Question question) {
  const size_t limit = TRY(ReadLimit(question.parameters));
  const query::Scope scope = TRY(ScopeOf(question));
  return StringsResponse(query::LabelNames(*question.snapshot, scope, limit), std::move(question.warnings));
}

ApiResult<net::Response> AnswerLabelValues(Question question) {
  const std::string name = UnescapeName(question.label);
  if (name.empty() || !IsValidUtf8(name)) {
    const std::string_view shown = IsValidUtf8(name) ? std::string_view(name) : "not UTF-8";
    return BadData(format("invalid label name: \"{}\"", shown));
  }
  const size_t limit = TRY(ReadLimit(question.parameters));
  const query::Scope scope = TRY(ScopeOf(question));
  return StringsResponse(query::LabelValues(*question.snapshot, name, scope, limit), std::move(question.warnings));
}

ApiResult<net::Response> AnswerMetadata(Question question) {
  query::MetadataQuestion wanted{.tenants = std::move(question.tenants),
                                 .family = std::string(Given(question.parameters, "metric").value_or("")),
                                 .limit = TRY(ReadMetadataLimit(question.parameters, "limit")),
                                 .limit_per_family = TRY(ReadMetadataLimit(question.parameters, "limit_per_metric"))};
  if (wanted.limit_per_family == 0) wanted.limit_per_family.reset();
  const query::FoundMetadata found = query::Metadata(*question.snapshot, wanted);
  std::string data;
  AppendMetadata(found, data);
  if (found.cut) question.warnings.emplace_back(kCutWarning);
  return SuccessResponse(data, question.warnings);
}

ApiResult<net::Response> AnswerQuery(Question question) {
  TRY(ReadLimit(question.parameters));
  const int64_t time_ms = TRY(ReadTime(question.parameters, "time", question.now_ms));
  const query::Value value = TRY(Evaluate(TRY(ReadExpression(question.parameters)), time_ms));
  std::string data = value.is_vector ? R"({"resultType":"vector","result":[{"metric":{},"value":)"
                                     : R"({"resultType":"scalar","result":)";
  AppendSample(time_ms, value.number, data);
  data += value.is_vector ? "}]}" : "}";
  return SuccessResponse(data, question.warnings);
}

// Evaluates the expression anew at each point, because time() differs between them. The cost is bounded twice: by
// kMaxPoints and by the deadline, which leaves an incomplete answer that the caller replaces by an error.
ApiResult<net::Response> AnswerQueryRange(Question question) {
  TRY(ReadLimit(question.parameters));
  const int64_t start = TRY(ReadRequiredTime(question.parameters, "start"));
  const int64_t end = TRY(ReadRequiredTime(question.parameters, "end"));
  if (end < start) return InvalidParameter("end", "end timestamp must not be before start time");
  const int64_t step = TRY(ReadStep(question.parameters));
  // Unsigned, because the difference may be larger than any int64_t.
  if ((static_cast<uint64_t>(end) - static_cast<uint64_t>(start)) / static_cast<uint64_t>(step) > kMaxPoints) {
    return BadData(
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)");
  }
  const std::string_view expression = TRY(ReadExpression(question.parameters));
  std::string data = R"({"resultType":"matrix","result":[{"metric":{},"values":[)";
  for (int64_t time = start;;) {
    AppendSample(time, TRY(Evaluate(expression, time)).number, data);
    if (__builtin_add_overflow(time, step, &time) || time > end) break;
    if (question.deadline != nullptr && question.deadline->passed()) break;
    data += ',';
  }
  data += "]}]}";
  return SuccessResponse(data, question.warnings);
}

}  // namespace mi::web
