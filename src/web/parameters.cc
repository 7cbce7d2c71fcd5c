#include "web/parameters.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "base/format.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "model/tenant.h"
#include "query/scalar.h"

namespace mi::web {
namespace {

// The smallest and the largest time as Prometheus' clients write them.
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

// Seconds with fractions, or a duration; in ms.
std::optional<int64_t> ParseSeconds(std::string_view text) {
  if (const std::optional<double> seconds = ParseFloat(text)) return SecondsToMs(*seconds);
  if (const auto duration = query::ParseDuration(text)) return duration->count();
  return std::nullopt;
}

std::optional<int64_t> ParseInteger(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), number);
  if (error != std::errc() || end != text.end()) return std::nullopt;
  return number;
}

// Takes the code point of "2e_" and the '_' from the front of `text`; nothing if it is none.
std::optional<char32_t> TakeCodePoint(std::string_view& text) {
  constexpr size_t kMaxHexDigits = 6;
  const std::string_view digits = text.substr(0, text.find('_'));
  if (digits.size() == text.size() || digits.empty() || digits.size() > kMaxHexDigits) return std::nullopt;
  uint32_t code = 0;
  if (std::from_chars(digits.begin(), digits.end(), code, 16).ptr != digits.end()) return std::nullopt;
  if (code > kMaxCodePoint || IsSurrogate(code)) return std::nullopt;
  text.remove_prefix(digits.size() + 1);
  return code;
}

}  // namespace

std::optional<std::string_view> Given(const net::FormParameters& parameters, std::string_view name) {
  const std::optional<std::string_view> value = parameters.First(name);
  return value && !value->empty() ? value : std::nullopt;
}

ApiResult<size_t> ReadLimit(const net::FormParameters& parameters) {
  const std::optional<std::string_view> text = Given(parameters, "limit");
  if (!text) return 0;
  const std::optional<int64_t> limit = ParseInteger(text->starts_with('+') ? text->substr(1) : *text);
  if (!limit) return InvalidParameter("limit", format("\"{}\" is not a whole number", *text));
  if (*limit < 0) return InvalidParameter("limit", "limit must be non-negative");
  return static_cast<size_t>(*limit);
}

ApiResult<std::optional<size_t>> ReadMetadataLimit(const net::FormParameters& parameters, std::string_view name) {
  const std::optional<std::string_view> text = Given(parameters, name);
  if (!text) return std::nullopt;
  const std::optional<int64_t> limit = ParseInteger(*text);
  if (!limit) return BadData(format("{} must be a number", name));
  if (*limit < 0) return std::nullopt;
  return static_cast<size_t>(*limit);
}

std::optional<int64_t> ParseTime(std::string_view text) {
  if (const std::optional<double> seconds = ParseFloat(text)) return SecondsToMs(*seconds);
  if (text == kMinTime) return std::numeric_limits<int64_t>::min();
  if (text == kMaxTime) return std::numeric_limits<int64_t>::max();
  return ParseRfc3339(text);
}

ApiResult<int64_t> ReadTime(const net::FormParameters& parameters, std::string_view name, int64_t otherwise) {
  const std::optional<std::string_view> text = Given(parameters, name);
  if (!text) return otherwise;
  if (const std::optional<int64_t> time = ParseTime(*text)) return *time;
  return InvalidParameter(name,
                          format("invalid time value for '{}': cannot parse \"{}\" to a valid timestamp", name, *text));
}

ApiResult<int64_t> ReadRequiredTime(const net::FormParameters& parameters, std::string_view name) {
  const std::string_view text = parameters.First(name).value_or("");
  if (const std::optional<int64_t> time = ParseTime(text)) return *time;
  return InvalidParameter(name, format("cannot parse \"{}\" to a valid timestamp", text));
}

ApiResult<std::optional<model::TimeRange>> ReadRange(const net::FormParameters& parameters) {
  constexpr model::TimeRange kAllTime;
  const model::TimeRange range = {.start_ms = TRY(ReadTime(parameters, "start", kAllTime.start_ms)),
                                  .end_ms = TRY(ReadTime(parameters, "end", kAllTime.end_ms))};
  if (range == kAllTime) return std::nullopt;
  return range;
}

ApiResult<int64_t> ReadStep(const net::FormParameters& parameters) {
  const std::string_view text = Given(parameters, "step").value_or("");
  const std::optional<int64_t> step = ParseSeconds(text);
  if (!step) return InvalidParameter("step", format("cannot parse \"{}\" to a valid duration", text));
  if (*step <= 0) {
    return InvalidParameter("step",
                            "zero or negative query resolution step widths are not accepted. Try a positive integer");
  }
  return *step;
}

ApiResult<std::optional<std::chrono::milliseconds>> ReadTimeout(const net::FormParameters& parameters) {
  const std::optional<std::string_view> text = Given(parameters, "timeout");
  if (!text) return std::nullopt;
  const std::optional<int64_t> timeout = ParseSeconds(*text);
  if (!timeout) return InvalidParameter("timeout", format("cannot parse \"{}\" to a valid duration", *text));
  return std::chrono::milliseconds(*timeout);
}

// Each regular expression takes memory for its automaton. Compiling takes up to a second in all (kMaxScanInstructions).
ApiResult<std::vector<query::Selector>> ReadSelectors(const net::FormParameters& parameters, query::Bounds* bounds) {
  const std::vector<std::string_view> texts = parameters.All("match[]");
  if (texts.size() > kMaxSelectors) {
    return InvalidParameter("match[]", format("{} selectors are given, limit {}", texts.size(), kMaxSelectors));
  }
  std::vector<query::Selector> selectors;
  query::ScanBudget scans{.limit = kMaxScans, .max_instructions = kMaxScanInstructions};
  for (const std::string_view text : texts) {
    if (query::Exceeded(bounds)) break;
    auto selector = query::ParseSelector(text, &scans);
    if (!selector) return InvalidParameter("match[]", selector.error().message);
    selectors.push_back(*std::move(selector));
  }
  query::Hold(bounds, scans.used * query::Regex::kMaxMemory);
  return selectors;
}

ApiResult<std::string_view> ReadExpression(const net::FormParameters& parameters) {
  const std::string_view text = parameters.First("query").value_or("");
  if (text.size() > kMaxExpressionBytes) {
    return InvalidParameter("query", format("is {}, limit {}", FormatBytesAbove(text.size(), kMaxExpressionBytes),
                                            FormatBytes(kMaxExpressionBytes)));
  }
  return text;
}

ApiResult<query::Scope> ReadScope(const net::FormParameters& parameters, std::vector<std::string> tenants,
                                  query::Bounds* bounds) {
  const auto range = TRY(ReadRange(parameters));
  return query::Scope{
      .selectors = TRY(ReadSelectors(parameters, bounds)), .tenants = std::move(tenants), .range = range};
}

ApiResult<std::vector<std::string>> ParseTenants(std::string_view text) {
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

// Prometheus writes a label name that is no plain word as "U__" and an escaped form: "__" is '_', and "_2e_" is the
// character U+002E. A name with a malformed escape stands for itself.
std::string UnescapeName(std::string_view name) {
  constexpr std::string_view kPrefix = "U__";
  if (!name.starts_with(kPrefix)) return std::string(name);
  std::string plain;
  std::string_view rest = name.substr(kPrefix.size());
  while (!rest.empty()) {
    const char c = rest.front();
    rest.remove_prefix(1);
    if (c != '_') {
      plain.push_back(c);
    } else if (rest.starts_with('_')) {
      rest.remove_prefix(1);
      plain.push_back('_');
    } else if (const std::optional<char32_t> code = TakeCodePoint(rest)) {
      AppendUtf8(*code, plain);
    } else {
      return std::string(name);
    }
  }
  return plain;
}

}  // namespace mi::web
