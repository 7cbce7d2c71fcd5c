// /api/v1/query and /api/v1/query_range, as far as they can be answered without samples.
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

#include "base/format.h"
#include "query/scalar.h"
#include "web/endpoints.h"
#include "web/parameters.h"

namespace mi::web {
namespace {

constexpr int64_t kMaxPoints = 11'000;  // Prometheus' own bound

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

ApiError ToApiError(const query::ScalarError& error) {
  if (error.kind() == query::ScalarError::Kind::kNeedsSamples) {
    return {.type = ErrorType::kExecution, .message = error.message()};
  }
  return InvalidParameter("query", error.message()).error();
}

}  // namespace

net::Response AnswerQuery(Asked asked) {
  const auto limit = ReadLimit(asked.parameters);
  if (!limit) return ErrorResponse(limit.error());
  const auto time = ReadTime(asked.parameters, "time", asked.now_ms);
  if (!time) return ErrorResponse(time.error());
  const auto expression = ReadExpression(asked.parameters);
  if (!expression) return ErrorResponse(expression.error());
  const auto value = query::Evaluate(*expression, *time);
  if (!value) return ErrorResponse(ToApiError(value.error()));
  std::string data;
  data += value->is_vector ? R"({"resultType":"vector","result":[{"metric":{},"value":)"
                           : R"({"resultType":"scalar","result":)";
  AppendSample(*time, value->number, data);
  data += value->is_vector ? "}]}" : "}";
  return SuccessResponse(data, asked.warnings);
}

net::Response AnswerQueryRange(Asked asked) {
  const auto limit = ReadLimit(asked.parameters);
  if (!limit) return ErrorResponse(limit.error());
  for (const std::string_view name : {"start", "end"}) {
    const std::string_view text = asked.parameters.First(name).value_or("");
    if (!ParseTime(text)) {
      return ErrorResponse(InvalidParameter(name, format("cannot parse \"{}\" to a valid timestamp", text)).error());
    }
  }
  const int64_t start = *ParseTime(*asked.parameters.First("start"));
  const int64_t end = *ParseTime(*asked.parameters.First("end"));
  if (end < start) {
    return ErrorResponse(InvalidParameter("end", "end timestamp must not be before start time").error());
  }
  const auto step = ReadStep(asked.parameters);
  if (!step) return ErrorResponse(step.error());
  if ((static_cast<uint64_t>(end) - static_cast<uint64_t>(start)) / static_cast<uint64_t>(*step) > kMaxPoints) {
    return ErrorResponse(
        BadData("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
                "resolution (?step=XX)")
            .error());
  }
  const auto expression = ReadExpression(asked.parameters);
  if (!expression) return ErrorResponse(expression.error());
  std::string data = R"({"resultType":"matrix","result":[{"metric":{},"values":[)";
  for (int64_t time = start;;) {
    const auto value = query::Evaluate(*expression, time);
    if (!value) return ErrorResponse(ToApiError(value.error()));
    AppendSample(time, value->number, data);
    if (__builtin_add_overflow(time, *step, &time) || time > end) break;
    if (asked.patience != nullptr && asked.patience->ended()) break;
    data += ',';
  }
  data += "]}]}";
  return SuccessResponse(data, asked.warnings);
}

}  // namespace mi::web
