// Which pages of other origins may read the answers (CORS), as Prometheus' web.cors.origin says it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "net/http.h"
#include "query/regex.h"

namespace mi::web {

// A value. Threads: safe.
class Cors {
 public:
  Cors() = default;  // no page may
  // `pattern`: a regular expression that the whole origin must match; '' is no page. kInvalid if it is none.
  static Result<Cors> Create(std::string_view pattern);

  // The headers of an answer to a request with this header `Origin`. '' is a request without one.
  std::vector<std::pair<std::string, std::string>> HeadersFor(std::string_view origin) const;

 private:
  std::optional<query::Regex> allowed_;
};

// Answers OPTIONS itself, and adds the headers to what another handler answers.
// Threads: safe. Ownership: borrows `cors`.
class CorsHandler final : public net::Handler {
 public:
  CorsHandler(const Cors& cors, std::string_view allowed, std::unique_ptr<net::Handler> inner)
      : cors_(cors), allowed_(allowed), inner_(std::move(inner)) {}

  net::HeadDecision Head(const net::Request& request) override;

 private:
  const Cors& cors_;
  const std::string_view allowed_;
  const std::unique_ptr<net::Handler> inner_;
};

}  // namespace mi::web
