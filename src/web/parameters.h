// What a request to the query API asks, read from its parameters with Prometheus' rules and words.
#pragma once

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

inline constexpr size_t kMaxSelectors = 1000;           // match[] of one request
inline constexpr size_t kMaxWalks = 64;                 // regular expressions among them: query::Regex::NeedsWalk
inline constexpr size_t kMaxExpressionBytes = 4 << 10;  // `query`, which is evaluated once for each point

// The parameter's value; nothing when it is absent or empty, which Prometheus does not tell apart.
std::optional<std::string_view> Given(const net::FormParameters& parameters, std::string_view name);

// 0 is no limit, as is an absent one.
Parsed<size_t> ReadLimit(const net::FormParameters& parameters);

// RFC 3339, or seconds since the epoch with fractions; ms since the epoch.
std::optional<int64_t> ParseTime(std::string_view text);
// The parameter's time, or `otherwise` when it is not given.
Parsed<int64_t> ReadTime(const net::FormParameters& parameters, std::string_view name, int64_t otherwise);
// `start` and `end`; nothing when neither is given.
Parsed<std::optional<model::TimeRange>> ReadRange(const net::FormParameters& parameters);

// Seconds with fractions, or a duration like 1m30s; ms, > 0.
Parsed<int64_t> ReadStep(const net::FormParameters& parameters);

// All of match[]. Which parameter a message names is up to the caller.
Parsed<std::vector<query::Selector>> ReadSelectors(const net::FormParameters& parameters);

// `query`, as far as it is to be evaluated. Valid as long as the parameters.
Parsed<std::string_view> ReadExpression(const net::FormParameters& parameters);

// match[], start and end.
Parsed<query::Scope> ReadScope(const net::FormParameters& parameters, std::vector<std::string> tenants);

// "a|b" as X-Scope-OrgID and paths give tenants: each checked and folded, sorted, once.
Parsed<std::vector<std::string>> ParseTenants(std::string_view text);

// U__ escaping, by which names of any characters pass through a path: "U__a_2e_b" is "a.b". What is not well escaped is
// meant as it stands.
std::string UnescapeName(std::string_view name);

}  // namespace mi::web
