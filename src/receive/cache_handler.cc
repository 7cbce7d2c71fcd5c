#include "receive/cache_handler.h"

#include "base/format.h"
#include "base/json.h"
#include "model/identity.h"
#include "receive/negotiation.h"

namespace mi::receive {
namespace {

net::Response Answer(int code, std::string_view message, std::string_view key, bool found, uint64_t count) {
  net::Response response{.status = code, .content_type = "application/json; charset=utf-8"};
  std::string& body = response.body;
  body = format(R"({{"code":{},"message":)", code);
  AppendJsonString(message, body);
  body += R"(,"data":{"key":)";
  AppendJsonString(key, body);
  body += format(R"(,"value":{},"count":{}}}}})", found ? "1" : "null", count);
  return response;
}

}  // namespace

net::HeadDecision CacheHandler::Head(const net::Request& request) {
  if (request.method() != "GET" && request.method() != "HEAD") {
    net::Response response{.status = 405, .body = "query the cache with GET\n"};
    response.headers.emplace_back("Allow", "GET, HEAD");
    return {.answer = std::move(response)};
  }
  return {.handle = [this](const net::Request& whole, net::Reply reply) { reply(Find(whole)); }};
}

net::Response CacheHandler::Find(const net::Request& request) const {
  const auto parameters = net::FormParameters::Parse(request.query());
  const std::string key(parameters.First("key").value_or(""));
  const uint64_t count = seen_.stats().entries;
  const Result<model::Tenant> tenant = TenantOf(request);
  if (!tenant) return Answer(400, tenant.error().message(), key, false, count);
  const Result<model::Labels> labels = model::ParseIdentity(key);
  if (!labels) return Answer(400, labels.error().message(), key, false, count);
  const model::Fingerprinter fingerprinter(options_.Get()->identity_secret, *tenant);
  const bool found = seen_.Contains(fingerprinter(labels->canonical()));
  // 200 even if the series is not found, as in the service that this one replaces: the message says so.
  return Answer(200, found ? "OK" : "Not Found", key, found, count);
}

}  // namespace mi::receive
