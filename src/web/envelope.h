// The JSON that Prometheus wraps around every answer of its API.
#pragma once

#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "net/http.h"

namespace mi::web {

enum class ErrorType { kBadData, kExecution, kTimeout, kUnavailable };

struct ApiError {
  ErrorType type = ErrorType::kBadData;
  std::string message;
};

template <typename T>
using ApiResult = std::expected<T, ApiError>;

inline std::unexpected<ApiError> ApiFail(ErrorType type, std::string message) {
  return std::unexpected(ApiError{.type = type, .message = std::move(message)});
}
inline std::unexpected<ApiError> BadData(std::string message) {
  return ApiFail(ErrorType::kBadData, std::move(message));
}
// `invalid parameter "limit": …`
std::unexpected<ApiError> InvalidParameter(std::string_view name, std::string_view what);

// {"status":"error","errorType":"bad_data","error":"…"}; with Retry-After if it may succeed later.
net::Response ErrorResponse(const ApiError& error);

inline constexpr std::string_view kJson = "application/json";
inline constexpr std::string_view kCutWarning = "results truncated due to limit";

// {"status":"success","data":  …what the caller appends…  ,"warnings":["…"]}
void AppendSuccessHead(std::string& out);
void AppendSuccessTail(std::span<const std::string> warnings, std::string& out);
// The whole answer around data that is JSON already.
net::Response SuccessResponse(std::string_view data, std::span<const std::string> warnings);

}  // namespace mi::web
