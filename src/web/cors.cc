#include "web/cors.h"

#include "base/utf8.h"

namespace mi::web {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

void Add(const Headers& headers, net::Response& response) {
  response.headers.insert(response.headers.end(), headers.begin(), headers.end());
}

}  // namespace

Result<Cors> Cors::Create(std::string_view pattern) {
  Cors cors;
  if (!pattern.empty()) cors.allowed_ = TRY(query::Regex::Compile(pattern));
  return cors;
}

// The headers are Prometheus'. An origin that may not read gets all but the one that matters.
Headers Cors::HeadersFor(std::string_view origin) const {
  if (!allowed_ || origin.empty()) return {};
  Headers headers = {{"Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Origin"},
                     {"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
                     {"Access-Control-Expose-Headers", "Date"},
                     {"Vary", "Origin"}};
  const bool is_allowed = IsValidUtf8(origin) && allowed_->Matches(origin);
  if (allowed_->MatchesAllValues()) {
    headers.emplace_back("Access-Control-Allow-Origin", "*");
  } else if (is_allowed) {
    headers.emplace_back("Access-Control-Allow-Origin", origin);
  }
  return headers;
}

net::HeadDecision CorsHandler::Head(const net::Request& request) {
  Headers headers = cors_.HeadersFor(request.Header("Origin").value_or(""));
  if (request.method() == "OPTIONS") {
    net::Response response{.status = 204, .content_type = "", .headers = {{"Allow", std::string(allowed_)}}};
    Add(headers, response);
    return {.answer = std::move(response)};
  }
  net::HeadDecision decision = inner_->Head(request);
  if (headers.empty()) return decision;
  if (decision.answer) Add(headers, *decision.answer);
  if (decision.handle) {
    decision.handle = [handle = std::move(decision.handle), headers = std::move(headers)](const net::Request& whole,
                                                                                          net::Reply reply) mutable {
      handle(whole,
             net::Reply([reply = std::move(reply), headers = std::move(headers)](net::Response response) mutable {
               Add(headers, response);
               reply(std::move(response));
             }));
    };
  }
  return decision;
}

}  // namespace mi::web
