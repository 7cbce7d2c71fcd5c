#include "web/endpoints.h"

#include <charconv>
#include <optional>
#include <utility>

#include "base/format.h"
#include "base/json.h"
#include "model/labels.h"
#include "query/metadata.h"
#include "web/parameters.h"
#include "web/series_json.h"

namespace mi::web {
namespace {

net::Response StringsResponse(const query::Strings& strings, std::vector<std::string> warnings) {
  net::Response response{.content_type = std::string(kJson)};
  AppendSuccessHead(response.body);
  response.body += '[';
  bool first = true;
  for (const std::string_view item : strings.items) {
    if (!std::exchange(first, false)) response.body += ',';
    AppendJsonString(item, response.body);
  }
  response.body += ']';
  if (strings.cut) warnings.emplace_back(kCutWarning);
  AppendSuccessTail(warnings, response.body);
  return response;
}

// Below zero is no limit, as for Prometheus; so is an absent one.
Parsed<std::optional<size_t>> ReadMetadataLimit(const net::FormParameters& parameters, std::string_view name) {
  const std::optional<std::string_view> text = Given(parameters, name);
  if (!text) return std::nullopt;
  int64_t limit = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), limit);
  if (error != std::errc() || end != text->data() + text->size()) return BadData(format("{} must be a number", name));
  if (limit < 0) return std::nullopt;
  return static_cast<size_t>(limit);
}

void AppendMetadata(const query::MetadataByFamily& families, std::string& out) {
  out += '{';
  bool first_family = true;
  for (const auto& [family, entries] : families) {
    if (!std::exchange(first_family, false)) out += ',';
    AppendJsonString(family, out);
    char separator = '[';
    out += ':';
    for (const model::MetricMetadata& entry : entries) {
      out += separator;
      out += R"({"type":)";
      AppendJsonString(entry.type, out);
      out += R"(,"unit":)";
      AppendJsonString(entry.unit, out);
      out += R"(,"help":)";
      AppendJsonString(entry.help, out);
      out += '}';
      separator = ',';
    }
    out += ']';
  }
  out += '}';
}

// Takes the tenants out of it.
Parsed<query::Scope> ScopeOf(Asked& asked) {
  auto scope = ReadScope(asked.parameters, std::move(asked.tenants));
  if (scope) scope->patience = asked.patience;
  return scope;
}

}  // namespace

net::Response AnswerSeries(Asked asked) {
  if (asked.parameters.All("match[]").empty()) {
    return ErrorResponse({.type = ErrorType::kBadData, .message = "no match[] parameter provided"});
  }
  const auto limit = ReadLimit(asked.parameters);
  if (!limit) return ErrorResponse(limit.error());
  const auto scope = ScopeOf(asked);
  if (!scope) return ErrorResponse(scope.error());
  catalog::SeriesSet found = query::Select(*asked.snapshot, *scope);
  return SeriesResponse({std::move(asked.snapshot), std::move(found), *limit}, std::move(asked.warnings));
}

net::Response AnswerLabels(Asked asked) {
  const auto limit = ReadLimit(asked.parameters);
  if (!limit) return ErrorResponse(limit.error());
  const auto scope = ScopeOf(asked);
  if (!scope) return ErrorResponse(scope.error());
  return StringsResponse(query::LabelNames(*asked.snapshot, *scope, *limit), std::move(asked.warnings));
}

net::Response AnswerLabelValues(Asked asked) {
  const std::string name = UnescapeName(asked.label);
  if (name.empty() || !model::IsValidUtf8(name)) {
    const std::string_view shown = model::IsValidUtf8(name) ? std::string_view(name) : "not UTF-8";
    return ErrorResponse({.type = ErrorType::kBadData, .message = format("invalid label name: \"{}\"", shown)});
  }
  const auto limit = ReadLimit(asked.parameters);
  if (!limit) return ErrorResponse(limit.error());
  const auto scope = ScopeOf(asked);
  if (!scope) return ErrorResponse(scope.error());
  return StringsResponse(query::LabelValues(*asked.snapshot, name, *scope, *limit), std::move(asked.warnings));
}

net::Response AnswerMetadata(Asked asked) {
  query::MetadataQuestion question{.tenants = std::move(asked.tenants),
                                   .family = std::string(Given(asked.parameters, "metric").value_or(""))};
  const auto limit = ReadMetadataLimit(asked.parameters, "limit");
  if (!limit) return ErrorResponse(limit.error());
  const auto limit_per_family = ReadMetadataLimit(asked.parameters, "limit_per_metric");
  if (!limit_per_family) return ErrorResponse(limit_per_family.error());
  question.limit = *limit;
  if (*limit_per_family != 0) question.limit_per_family = *limit_per_family;
  net::Response response{.content_type = std::string(kJson)};
  AppendSuccessHead(response.body);
  const query::FoundMetadata found = query::Metadata(*asked.snapshot, question);
  AppendMetadata(found.families, response.body);
  if (found.cut) asked.warnings.emplace_back(kCutWarning);
  AppendSuccessTail(asked.warnings, response.body);
  return response;
}

}  // namespace mi::web
