#include "web/parameters.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "base/format.h"
#include "model/tenant.h"
#include "query/duration.h"
#include "base/time_text.h"

namespace mi::web {
namespace {

// The ends of time as Prometheus' own clients write them.
constexpr std::string_view kMinTime = "-292273086-05-16T16:47:06Z";
constexpr std::string_view kMaxTime = "292277025-08-18T07:12:54.999999999Z";

std::optional<double> ParseFloat(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) return std::nullopt;
  return number;
}

int64_t SecondsToMs(double seconds) {
  constexpr double kLimit = 9.2e18;  // just inside of int64_t
  return std::llround(std::clamp(seconds * 1000, -kLimit, kLimit));
}

}  // namespace

std::optional<std::string_view> Given(const net::FormParameters& parameters, std::string_view name) {
  const std::optional<std::string_view> value = parameters.First(name);
  return value && !value->empty() ? value : std::nullopt;
}

Parsed<size_t> ReadLimit(const net::FormParameters& parameters) {
  const std::optional<std::string_view> text = Given(parameters, "limit");
  if (!text) return 0;
  int64_t limit = 0;
  const std::string_view digits = text->starts_with('+') ? text->substr(1) : *text;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), limit);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return InvalidParameter("limit", format("\"{}\" is not a whole number", *text));
  }
  if (limit < 0) return InvalidParameter("limit", "limit must be non-negative");
  return static_cast<size_t>(limit);
}

std::optional<int64_t> ParseTime(std::string_view text) {
  if (const std::optional<double> seconds = ParseFloat(text)) return SecondsToMs(*seconds);
  if (text == kMinTime) return std::numeric_limits<int64_t>::min();
  if (text == kMaxTime) return std::numeric_limits<int64_t>::max();
  return ParseRfc3339(text);
}

Parsed<int64_t> ReadTime(const net::FormParameters& parameters, std::string_view name, int64_t otherwise) {
  const std::optional<std::string_view> text = Given(parameters, name);
  if (!text) return otherwise;
  if (const std::optional<int64_t> time = ParseTime(*text)) return *time;
  return InvalidParameter(name,
                          format("invalid time value for '{}': cannot parse \"{}\" to a valid timestamp", name, *text));
}

Parsed<std::optional<model::TimeRange>> ReadRange(const net::FormParameters& parameters) {
  model::TimeRange range;
  const Parsed<int64_t> start = ReadTime(parameters, "start", range.start_ms);
  if (!start) return std::unexpected(start.error());
  const Parsed<int64_t> end = ReadTime(parameters, "end", range.end_ms);
  if (!end) return std::unexpected(end.error());
  // Prometheus answers with nothing here; a question that nothing can ever answer is better refused.
  if (*end < *start) return InvalidParameter("end", "end timestamp must not be before start time");
  range = {.start_ms = *start, .end_ms = *end};
  if (range == model::TimeRange()) return std::nullopt;
  return range;
}

Parsed<int64_t> ReadStep(const net::FormParameters& parameters) {
  const std::string_view text = Given(parameters, "step").value_or("");
  std::optional<int64_t> step;
  if (const std::optional<double> seconds = ParseFloat(text)) {
    step = SecondsToMs(*seconds);
  } else if (const auto duration = query::ParseDuration(text)) {
    step = duration->count();
  }
  if (!step) return InvalidParameter("step", format("cannot parse \"{}\" to a valid duration", text));
  if (*step <= 0) {
    return InvalidParameter("step",
                            "zero or negative query resolution step widths are not accepted. Try a positive integer");
  }
  return *step;
}

Parsed<std::vector<query::Selector>> ReadSelectors(const net::FormParameters& parameters) {
  const std::vector<std::string_view> texts = parameters.All("match[]");
  if (texts.size() > kMaxSelectors) {
    return InvalidParameter("match[]", format("{} selectors are given, limit {}", texts.size(), kMaxSelectors));
  }
  std::vector<query::Selector> selectors;
  query::WalkBudget walks{.limit = kMaxWalks};
  for (const std::string_view text : texts) {
    auto selector = query::ParseSelector(text, walks);
    if (!selector) return InvalidParameter("match[]", selector.error().message());
    selectors.push_back(*std::move(selector));
  }
  return selectors;
}

Parsed<std::string_view> ReadExpression(const net::FormParameters& parameters) {
  const std::string_view text = parameters.First("query").value_or("");
  if (text.size() > kMaxExpressionBytes) {
    return InvalidParameter("query", format("is {}, limit {}", FormatBytesAbove(text.size(), kMaxExpressionBytes),
                                            FormatBytes(kMaxExpressionBytes)));
  }
  return text;
}

Parsed<query::Scope> ReadScope(const net::FormParameters& parameters, std::vector<std::string> tenants) {
  query::Scope scope{.tenants = std::move(tenants)};
  auto range = ReadRange(parameters);
  if (!range) return std::unexpected(std::move(range).error());
  scope.range = *range;
  auto selectors = ReadSelectors(parameters);
  if (!selectors) return std::unexpected(std::move(selectors).error());
  scope.selectors = *std::move(selectors);
  return scope;
}

Parsed<std::vector<std::string>> ParseTenants(std::string_view text) {
  std::vector<std::string> tenants;
  while (true) {
    const size_t bar = text.find('|');
    const std::string_view one = text.substr(0, bar);
    if (one.empty()) return BadData("a tenant between '|' is empty; the default tenant is 0");
    const Result<model::Tenant> tenant = model::Tenant::Parse(one);
    if (!tenant) return BadData(tenant.error().message());
    tenants.push_back(tenant->name());
    if (bar == std::string_view::npos) break;
    text.remove_prefix(bar + 1);
  }
  std::ranges::sort(tenants);
  const auto repeated = std::ranges::unique(tenants);
  tenants.erase(repeated.begin(), repeated.end());
  return tenants;
}

}  // namespace mi::web
