// The parameters of a request to the query API, with Prometheus' rules and error messages.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/time_range.h"
#include "net/http.h"
#include "query/select.h"
#include "web/envelope.h"

namespace mi::web {

inline constexpr size_t kMaxSelectors = 1000;            // match[] of one request
inline constexpr size_t kMaxScans = 64;                  // regular expressions among them (query::Regex::ScansValues)
inline constexpr size_t kMaxScanInstructions = 100'000;  // of their programs together
inline constexpr size_t kMaxExpressionBytes = 4 << 10;   // `query`, which is evaluated once per point

// The parameter's value; nothing if it is absent or empty, which Prometheus does not tell apart.
std::optional<std::string_view> Given(const net::FormParameters& parameters, std::string_view name);

// 0 is no limit, like an absent one.
ApiResult<size_t> ReadLimit(const net::FormParameters& parameters);
// The limits of /api/v1/metadata: an absent or negative one is no limit, 0 is a limit of none.
ApiResult<std::optional<size_t>> ReadMetadataLimit(const net::FormParameters& parameters, std::string_view name);

// RFC 3339, or seconds since the epoch with fractions; in ms since the epoch.
std::optional<int64_t> ParseTime(std::string_view text);
// The parameter's time, or `otherwise` if it is not given.
ApiResult<int64_t> ReadTime(const net::FormParameters& parameters, std::string_view name, int64_t otherwise);
// The parameter's time, which must be given.
ApiResult<int64_t> ReadRequiredTime(const net::FormParameters& parameters, std::string_view name);
// `start` and `end`; nothing if neither is given. The end may be before the start: nothing matches then.
ApiResult<std::optional<model::TimeRange>> ReadRange(const net::FormParameters& parameters);

// Seconds with fractions, or a duration like 1m30s; in ms, > 0.
ApiResult<int64_t> ReadStep(const net::FormParameters& parameters);

// `timeout`: seconds with fractions, or a duration like 1m30s.
ApiResult<std::optional<std::chrono::milliseconds>> ReadTimeout(const net::FormParameters& parameters);

// All match[]; some of them if the bounds are exceeded.
ApiResult<std::vector<query::Selector>> ReadSelectors(const net::FormParameters& parameters,
                                                      query::Bounds* bounds = nullptr);

// `query`. Valid as long as the parameters.
ApiResult<std::string_view> ReadExpression(const net::FormParameters& parameters);

// match[], start and end.
ApiResult<query::Scope> ReadScope(const net::FormParameters& parameters, std::vector<std::string> tenants,
                                  query::Bounds* bounds = nullptr);

// "a|b", as X-Scope-OrgID and paths name tenants: each validated and folded; sorted, each once.
ApiResult<std::vector<std::string>> ParseTenants(std::string_view text);

// U__ escaping, by which names with any characters fit into a path: "U__a_2e_b" is "a.b". A name that is not well
// escaped stands for itself.
std::string UnescapeName(std::string_view name);

}  // namespace mi::web
