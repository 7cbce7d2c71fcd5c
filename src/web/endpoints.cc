#include "web/endpoints.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/format.h"
#include "base/json.h"
#include "base/utf8.h"
#include "model/labels.h"
#include "query/metadata.h"
#include "query/scalar.h"
#include "web/json_list.h"
#include "web/parameters.h"

namespace mi::web {
namespace {

constexpr int64_t kMaxPoints = 11'000;  // Prometheus' own bound

// Moves the tenants out of the question.
ApiResult<query::Scope> ScopeOf(Question& question) {
  query::Scope scope = TRY(ReadScope(question.parameters, std::move(question.tenants), question.bounds));
  scope.bounds = question.bounds;
  return scope;
}

net::Response StringsResponse(Question& question, query::Strings strings) {
  return ListResponse(StringElements(std::move(question.snapshot), std::move(strings)), kBrackets,
                      std::move(question.warnings), question.bounds);
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

std::expected<query::Selector, query::ParseError> ParseOneSelector(std::string_view text) {
  query::ScanBudget scans{.limit = kMaxScans, .max_instructions = kMaxScanInstructions};
  return query::ParseSelector(text, &scans);
}

// As Prometheus shows the tree of an expression.
void AppendSelectorTree(const query::Selector& selector, std::string& out) {
  out += R"({"type":"vectorSelector","name":)";
  const auto name = std::ranges::find_if(selector.matchers, [](const query::Matcher& matcher) {
    return matcher.name() == model::kMetricName && matcher.op() == query::MatchOperator::kEqual;
  });
  AppendJsonString(name == selector.matchers.end() ? std::string_view() : std::string_view(name->value()), out);
  out += R"(,"offset":0,"matchers":[)";
  std::string_view separator;
  for (const query::Matcher& matcher : selector.matchers) {
    out += std::exchange(separator, ",");
    out += R"({"name":)";
    AppendJsonString(matcher.name(), out);
    out += R"(,"value":)";
    AppendJsonString(matcher.value(), out);
    out += format(R"(,"type":"{}"}})", query::ToString(matcher.op()));
  }
  out += R"(],"timestamp":null,"startOrEnd":null})";
}

}  // namespace

ApiResult<net::Response> AnswerSeries(Question question) {
  if (question.parameters.All("match[]").empty()) return BadData("no match[] parameter provided");
  const size_t limit = TRY(ReadLimit(question.parameters));
  const query::Scope scope = TRY(ScopeOf(question));
  catalog::SeriesSet found = query::Select(*question.snapshot, scope);
  query::SeriesReader reader(std::move(question.snapshot), std::move(found), limit);
  query::Hold(question.bounds, reader.max_bytes());
  return ListResponse(SeriesElements(std::move(reader)), kBrackets, std::move(question.warnings), question.bounds);
}

ApiResult<net::Response> AnswerLabels(Question question) {
  const size_t limit = TRY(ReadLimit(question.parameters));
  const query::Scope scope = TRY(ScopeOf(question));
  return StringsResponse(question, query::LabelNames(*question.snapshot, scope, limit));
}

ApiResult<net::Response> AnswerLabelValues(Question question) {
  const std::string name = UnescapeName(question.label);
  if (name.empty() || !IsValidUtf8(name)) {
    const std::string_view shown = IsValidUtf8(name) ? std::string_view(name) : "not UTF-8";
    return BadData(format("invalid label name: \"{}\"", shown));
  }
  const size_t limit = TRY(ReadLimit(question.parameters));
  const query::Scope scope = TRY(ScopeOf(question));
  return StringsResponse(question, query::LabelValues(*question.snapshot, name, scope, limit));
}

ApiResult<net::Response> AnswerMetadata(Question question) {
  query::MetadataQuestion wanted{.tenants = std::move(question.tenants),
                                 .family = std::string(Given(question.parameters, "metric").value_or("")),
                                 .limit = TRY(ReadMetadataLimit(question.parameters, "limit")),
                                 .limit_per_family = TRY(ReadMetadataLimit(question.parameters, "limit_per_metric")),
                                 .bounds = question.bounds};
  if (wanted.limit_per_family == 0) wanted.limit_per_family.reset();
  query::FoundMetadata found = query::Metadata(*question.snapshot, wanted);
  return ListResponse(MetadataElements(std::move(question.snapshot), std::move(found)), kBraces,
                      std::move(question.warnings), question.bounds);
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
// kMaxPoints and by the bounds, which leave an incomplete answer that the caller replaces by an error.
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
    if (query::Exceeded(question.bounds)) break;
    data += ',';
  }
  data += "]}]}";
  query::Hold(question.bounds, 2 * data.size());
  return SuccessResponse(data, question.warnings);
}

// A selector is written in its canonical form. Any other expression that can be evaluated stays as it is.
ApiResult<net::Response> AnswerFormatQuery(Question question) {
  const std::string_view expression = TRY(ReadExpression(question.parameters));
  std::string text(expression);
  if (const auto selector = ParseOneSelector(expression)) {
    text = query::FormatSelector(*selector);
  } else {
    TRY(Evaluate(expression, question.now_ms));
  }
  std::string data;
  AppendJsonString(text, data);
  return SuccessResponse(data, question.warnings);
}

ApiResult<net::Response> AnswerParseQuery(Question question) {
  const std::string_view expression = TRY(ReadExpression(question.parameters));
  std::string data;
  if (const auto selector = ParseOneSelector(expression)) {
    AppendSelectorTree(*selector, data);
    return SuccessResponse(data, question.warnings);
  }
  const query::Value value = TRY(Evaluate(expression, question.now_ms));
  if (value.is_vector || expression.find_first_of("+-*/%^(") != std::string_view::npos) {
    return ApiFail(ErrorType::kExecution, "only selectors and numbers are shown as a tree");
  }
  data = R"({"type":"numberLiteral","val":")";
  AppendNumber(value.number, data);
  data += "\"}";
  return SuccessResponse(data, question.warnings);
}

}  // namespace mi::web
