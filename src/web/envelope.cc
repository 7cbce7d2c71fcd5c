#include "web/envelope.h"

#include "base/format.h"
#include "base/json.h"

namespace mi::web {
namespace {

std::string_view ToString(ErrorType type) {
  switch (type) {
    case ErrorType::kBadData: return "bad_data";
    case ErrorType::kExecution: return "execution";
    case ErrorType::kTimeout: return "timeout";
    case ErrorType::kUnavailable: return "unavailable";
  }
  return "internal";
}

int ToHttpStatus(ErrorType type) {
  switch (type) {
    case ErrorType::kBadData: return 400;
    case ErrorType::kExecution: return 422;
    case ErrorType::kTimeout: return 503;
    case ErrorType::kUnavailable: return 503;
  }
  return 500;
}

}  // namespace

std::unexpected<ApiError> InvalidParameter(std::string_view name, std::string_view what) {
  return BadData(format("invalid parameter \"{}\": {}", name, what));
}

net::Response ErrorResponse(const ApiError& error) {
  net::Response response{.status = ToHttpStatus(error.type), .content_type = std::string(kJson)};
  response.body = format(R"({{"status":"error","errorType":"{}","error":)", ToString(error.type));
  AppendJsonString(error.message, response.body);
  response.body += '}';
  if (response.status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

void AppendSuccessHead(std::string& out) { out += R"({"status":"success","data":)"; }

void AppendSuccessTail(std::span<const std::string> warnings, std::string& out) {
  std::string_view separator = R"(,"warnings":[)";
  for (const std::string& warning : warnings) {
    out += separator;
    AppendJsonString(warning, out);
    separator = ",";
  }
  out += warnings.empty() ? "}" : "]}";
}

net::Response SuccessResponse(std::string_view data, std::span<const std::string> warnings) {
  net::Response response{.content_type = std::string(kJson)};
  AppendSuccessHead(response.body);
  response.body += data;
  AppendSuccessTail(warnings, response.body);
  return response;
}

}  // namespace mi::web
