// What Prometheus wraps around every answer of its API.
#pragma once

#include <expected>
#include <span>
#include <string>
#include <string_view>

#include "net/http.h"

namespace mi::web {

enum class ErrorType { kBadData, kExecution, kUnavailable, kInternal };

std::string_view ToString(ErrorType type);  // "bad_data"
int ToHttpStatus(ErrorType type);

struct ApiError {
  ErrorType type = ErrorType::kInternal;
  std::string message;
};

template <typename T>
using Parsed = std::expected<T, ApiError>;

inline std::unexpected<ApiError> BadData(std::string message) {
  return std::unexpected(ApiError{.type = ErrorType::kBadData, .message = std::move(message)});
}
// `invalid parameter "limit": …`
std::unexpected<ApiError> InvalidParameter(std::string_view name, std::string_view what);

// {"status":"error","errorType":"bad_data","error":"…"}; unavailable ones with Retry-After.
net::Response ErrorResponse(const ApiError& error);

inline constexpr std::string_view kJson = "application/json";

// {"status":"success","data":  …what the caller appends…  ,"warnings":["…"]}
void AppendSuccessHead(std::string& out);
void AppendSuccessTail(std::span<const std::string> warnings, std::string& out);
// All of it around data that is JSON already.
net::Response SuccessResponse(std::string_view data, std::span<const std::string> warnings);

inline constexpr std::string_view kCutWarning = "results truncated due to limit";

}  // namespace mi::web
